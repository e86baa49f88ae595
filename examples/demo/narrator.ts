// What the demo says: the steps of the runbook as they happen, and for each gate what a person would type.
import pc from 'picocolors';
import type { GateRecord, HandOverRecord, StepRecord } from '../../journal/types';
import { formatDurationMs } from '../../plan/duration';
import type { MigrationStatus } from '../../workflows/messages';

export type Say = (line: string) => void;

const marks: Partial<Record<StepRecord['state'], string>> = {
  done: pc.green('✔'),
  skipped: '↷',
  failed: pc.red('✖'),
  undone: pc.yellow('↩'),
  'undo-failed': pc.red('✖'),
};

/** Says each step once, when it has ended, and each refused message. */
export class Narrator {
  private readonly told = new Set<string>();
  private lastCopy = 0;
  private handOversTold = 0;

  constructor(
    private readonly say: Say,
    private readonly address: string,
  ) {}

  tell(status: MigrationStatus): void {
    for (const step of status.steps) {
      const mark = marks[step.state];
      const key = `${step.id} ${step.startedAt} ${step.state}`;
      if (!mark || this.told.has(key)) continue;
      this.told.add(key);
      const time = step.durationMs === undefined ? '' : pc.dim(` ${formatDurationMs(step.durationMs)}`);
      const result = step.failure ?? step.result;
      this.say(`  ${mark} ${step.title}${time}${result ? pc.dim(`  ${result.slice(0, 160)}`) : ''}`);
    }
    this.tellCopy(status);
    this.tellPasses(status);
    this.tellHandOvers(status);
  }

  private tellCopy({ copy, phase }: MigrationStatus): void {
    if (phase !== 'copy' || !copy || copy.chunksDone === this.lastCopy || copy.chunksDone >= copy.chunksTotal) return;
    this.lastCopy = copy.chunksDone;
    const share = Math.floor((100 * copy.bytesCopied) / Math.max(1, copy.bytesTotal));
    this.say(pc.dim(`    copied ${share} %, ${copy.rows} rows, ${copy.tablesDone} of ${copy.tablesTotal} tables`));
  }

  /** Each pass once, when it has ended. */
  private tellPasses({ passes = [] }: MigrationStatus): void {
    for (const { pass, why, durationMs, rows, deleted } of passes) {
      if (durationMs === undefined || this.told.has(`pass ${pass}`)) continue;
      this.told.add(`pass ${pass}`);
      this.say(
        pc.dim(
          `    pass ${pass}, ${why}: ${rows} rows written, ${deleted} deleted, in ${formatDurationMs(durationMs)}`,
        ),
      );
    }
  }

  /** A hand-over is told once its freeze has been asked for, or the next thing goes on. */
  private tellHandOvers({ handOvers = [], phase }: MigrationStatus): void {
    for (const record of handOvers.slice(this.handOversTold)) {
      if (record.outcome === 'under-way') return;
      if (record.outcome === 'switched' && record.freezeMs === undefined && phase === 'switch') return;
      this.handOversTold += 1;
      this.say(record.outcome === 'switched' ? switchedLine(record) : givenUpLine(record));
    }
  }

  /** The gate, its evidence, and the command that a person would type. */
  gate(gate: GateRecord, workflowId: string): void {
    this.say('');
    this.say(pc.bold(`  Gate "${gate.name}" is open. What the people deciding see:`));
    for (const line of gate.evidence.slice(0, 8)) this.say(`    · ${line.slice(0, 200)}`);
    this.say('  A person would type:');
    this.say(pc.cyan(`    ${this.signalCommand(workflowId, 'approve', `{"gate":"${gate.name}","by":"YOU"}`)}`));
  }

  signalCommand(workflowId: string, name: string, input: string): string {
    return `temporal workflow signal --address ${this.address} -w ${workflowId} --name ${name} --input '${input}'`;
  }
}

function switchedLine({ from, to, freezeMs, outageMs, parts }: HandOverRecord): string {
  const freeze = freezeMs ?? outageMs;
  const time = freeze === undefined ? '' : `${formatDurationMs(freeze)} without writes, `;
  const where = parts.map(({ name, ms }) => `${name} ${Math.round(ms)}`).join(', ');
  return `${pc.bold(`  Switched from ${from} to ${to}: ${time}nothing lost`)}${where ? pc.dim(`\n    in ms: ${where}`) : ''}`;
}

function givenUpLine({ from, to }: HandOverRecord): string {
  return pc.yellow(`  From ${from} to ${to}: given up; the ${from} takes writes as before, and streaming goes on`);
}
