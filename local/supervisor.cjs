// Stands between us and one server, in a session of its own, so that the server ends when we do, whatever ends us: the
// channel to the parent closes even on kill -9. Plain JavaScript: it runs as it is from the sources and from dist.
// In: {run: {command, args, cwd, environment, uid, gid, stops: [{signal, graceMs}], removeFolder}}, then 'stop'.
// Out: {started: pid} or {failed: message}, then {ended: {code, signal}}.
'use strict';
const { spawn } = require('node:child_process');
const { rmSync } = require('node:fs');

let run;
let server;
let stopping = false;

function report(message) {
  if (process.connected) process.send(message, () => undefined);
}

function finish() {
  if (!process.connected && run?.removeFolder) rmSync(run.removeFolder, { recursive: true, force: true });
  if (process.connected) process.disconnect();
  process.exit(0);
}

function start(wanted) {
  run = wanted;
  server = spawn(run.command, run.args, {
    cwd: run.cwd,
    env: run.environment,
    uid: run.uid,
    gid: run.gid,
    stdio: ['ignore', 'inherit', 'inherit'],
  });
  server.once('spawn', () => report({ started: server.pid }));
  server.once('error', (error) => {
    report({ failed: error.message });
    setImmediate(finish);
  });
  server.once('exit', (code, signal) => {
    report({ ended: { code, signal } });
    setImmediate(finish);
  });
}

function stop() {
  if (!server) finish();
  if (stopping) return;
  stopping = true;
  let waitMs = 0;
  for (const { signal, graceMs } of run.stops) {
    setTimeout(() => server.kill(signal), waitMs);
    waitMs += graceMs;
  }
  setTimeout(() => server.kill('SIGKILL'), waitMs);
}

process.on('message', (message) => {
  if (message === 'stop') stop();
  else if (message.run && !server) start(message.run);
});
process.on('disconnect', stop);
// Only the parent's end or its word stops us; a signal to all processes of a terminal or a container is the parent's.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => undefined);
