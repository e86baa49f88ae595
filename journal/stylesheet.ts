// How the HTML report looks. Only system fonts; colours as variables with a dark set; tables scroll inside their own box on a phone.

export const stylesheet = `
:root{color-scheme:light dark;--ground:#fff;--panel:#f5f6f8;--ink:#1b2230;--soft:#5b6577;--line:#d9dee6;--good:#116b3c;--good-ground:#e5f5ec;--warn:#8a5300;--warn-ground:#fdf1dc;--bad:#b3261e;--bad-ground:#fdeae8;--open:#1d5fa8;--open-ground:#e6f0fb;--work:#3572b8;--undo:#b0621a;--wait:#8fa3bb;--gate:#c9a227;--gate-ground:#fbf3d3;--down:#e0433822}
@media (prefers-color-scheme:dark){:root{--ground:#12161d;--panel:#1b212b;--ink:#e4e8ef;--soft:#9aa6b8;--line:#303947;--good:#6fd49b;--good-ground:#14301f;--warn:#f0b95c;--warn-ground:#33270f;--bad:#ff8a80;--bad-ground:#3a1917;--open:#84b8f5;--open-ground:#152a44;--work:#5b9be6;--undo:#e0995a;--wait:#64758c;--gate:#d9b84a;--gate-ground:#3a3214;--down:#ff6b5e30}}
*{box-sizing:border-box}
html{-webkit-text-size-adjust:100%}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1180px;margin:0 auto;padding:28px 24px 60px}
h1{font-size:1.75rem;line-height:1.2;margin:0 0 4px;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:44px 0 12px;padding-bottom:6px;border-bottom:2px solid var(--line)}
h2 .number{color:var(--soft);font-weight:500;margin-right:4px}
h3{font-size:1rem;margin:26px 0 8px}
p,ul{margin:8px 0 12px}
ul{padding-left:22px}
li,p,td code{overflow-wrap:anywhere}
td{overflow-wrap:break-word}
.subtitle{color:var(--soft);margin:0 0 18px}
code{font:0.86em/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;background:var(--panel);border-radius:4px;padding:1px 4px}
time{white-space:nowrap}
.banner{border-left:5px solid var(--soft);background:var(--panel);padding:12px 16px;border-radius:0 8px 8px 0;margin:0 0 18px}
.banner.good{border-color:var(--good);background:var(--good-ground)}
.banner.warn{border-color:var(--warn);background:var(--warn-ground)}
.banner.bad{border-color:var(--bad);background:var(--bad-ground)}
.banner.open{border-color:var(--open);background:var(--open-ground)}
.figures{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:12px;margin:0 0 18px}
.figures div{background:var(--panel);border-radius:8px;padding:12px 14px}
.figures dt{color:var(--soft);font-size:.8rem}
.figures dd{margin:2px 0 0;font-size:1.25rem;font-weight:600;font-variant-numeric:tabular-nums;line-height:1.25}
.figures small{display:block;color:var(--soft);font-weight:400;font-size:.78rem}
nav ol{columns:3 220px;list-style:none;padding:12px 16px;margin:18px 0 0;background:var(--panel);border-radius:8px;font-size:.9rem}
nav a{color:inherit;text-decoration:none}
nav a:hover{text-decoration:underline}
nav .number{display:inline-block;min-width:1.5em;color:var(--soft)}
.scroll{overflow-x:auto;margin:8px 0 14px}
table{border-collapse:collapse;width:100%;font-size:.87rem}
th,td{text-align:left;vertical-align:top;padding:6px 10px;border-bottom:1px solid var(--line)}
th{color:var(--soft);font-weight:600;border-bottom-width:2px;white-space:nowrap}
td{min-width:4.5em}
td.number,th.number{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
tbody tr:hover{background:var(--panel)}
.tone{font-weight:600;white-space:nowrap}
.tone.good{color:var(--good)}.tone.warn{color:var(--warn)}.tone.bad{color:var(--bad)}.tone.open{color:var(--open)}
.tone.quiet{color:var(--soft);font-weight:400;white-space:normal}
figure{margin:18px 0}
figcaption{display:flex;flex-wrap:wrap;gap:4px 16px;color:var(--soft);font-size:.8rem}
figcaption i{display:inline-block;width:14px;height:10px;border-radius:2px;margin-right:5px}
.key-work{background:var(--work)}.key-undo{background:var(--undo)}.key-wait{background:var(--wait)}.key-failed{background:var(--bad)}.key-down{background:var(--down);outline:1px solid var(--bad)}
.key-gate{background:repeating-linear-gradient(45deg,var(--gate) 0 2px,var(--gate-ground) 2px 5px)}
.timeline{display:block;width:100%;min-width:860px;height:auto;font-family:inherit}
.timeline text{fill:var(--ink);font-size:12px}
.timeline .tl-time,.timeline .tl-clock,.timeline .tl-day{fill:var(--soft);font-size:11px;font-variant-numeric:tabular-nums}
.timeline .tl-time{paint-order:stroke;stroke:var(--ground);stroke-width:3px;stroke-linejoin:round}
.tl-work{fill:var(--work)}.tl-undo{fill:var(--undo)}.tl-wait{fill:var(--wait)}.tl-failed{fill:var(--bad)}.tl-skipped{fill:none;stroke:var(--soft);stroke-dasharray:3 2}
.tl-gate{fill:url(#hatch);stroke:var(--gate)}.tl-gate-ground{fill:var(--gate-ground)}.tl-gate-line{stroke:var(--gate);stroke-width:3}
.tl-phase{stroke:var(--line);stroke-width:1}
.tl-axis{stroke:var(--soft)}.tl-tick{stroke:var(--line)}
.tl-break{fill:var(--panel)}.tl-zigzag{fill:none;stroke:var(--soft)}
.timeline .tl-break-label{fill:var(--soft);font-size:11px;font-weight:600}
.tl-downtime{fill:var(--down)}.tl-downtime-edge{stroke:var(--bad);stroke-dasharray:2 2}
.timeline .tl-downtime-label{fill:var(--bad);font-weight:600}
.tl-no-return{stroke:var(--ink);stroke-width:1.5;stroke-dasharray:6 3}
.timeline .tl-no-return-label{font-weight:600}
footer{margin-top:48px;color:var(--soft);font-size:.8rem;border-top:1px solid var(--line)}
@media (max-width:640px){main{padding:18px 14px 40px}h1{font-size:1.4rem}.figures{grid-template-columns:repeat(2,1fr)}.figures dd{font-size:1.05rem}table.wide{min-width:640px}table.widest{min-width:960px}}
@media print{:root{--ground:#fff;--panel:#f5f6f8;--ink:#000;--soft:#444;--line:#bbb;--good:#0b5a30;--warn:#6d4200;--bad:#a0110a;--open:#15477f;--good-ground:#fff;--warn-ground:#fff;--bad-ground:#fff;--open-ground:#fff}body{font-size:10pt}main{max-width:none;padding:0}nav{display:none}.scroll{overflow:visible}.timeline{min-width:0}h2,h3{break-after:avoid}tr,figure,.figures div{break-inside:avoid}table{font-size:8pt}th,td{padding:3px 5px}td.number,th,time,.tone{white-space:normal}*{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
`;
