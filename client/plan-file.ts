// A plan from a file, JSON or YAML by its ending, read and validated before anything is sent anywhere.
import { readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { parse as parseYaml } from 'yaml';
import type { CalicoPlan } from '../plan/calico';
import { describeIssues, isCalicoPlan, parseCalicoPlan, parsePostgresPlan, type ParsedPlan } from '../plan/parse';
import type { PostgresPlan } from '../plan/postgres';
import { wrongCall } from './context';
import { firstLine } from './connection';

/** `input` as the operator wrote it, which is what the workflow is sent; `plan` with every default. */
export type ReadPlan =
  { kind: 'postgres'; input: unknown; plan: PostgresPlan } | { kind: 'calico'; input: unknown; plan: CalicoPlan };

/** A plan of either kind: whose source has etcd endpoints is Calico's. @throws CommandFailed, exit code 2, that names everything wrong with the file */
export function readPlan(file: string): ReadPlan {
  const input = parseFile(file, readText(file));
  return isCalicoPlan(input)
    ? { kind: 'calico', input, plan: accepted(file, parseCalicoPlan(input)) }
    : { kind: 'postgres', input, plan: accepted(file, parsePostgresPlan(input)) };
}

function accepted<Plan>(file: string, parsed: ParsedPlan<Plan>): Plan {
  if (parsed.ok) return parsed.plan;
  const count = parsed.issues.length;
  throw wrongCall(
    `${file} is refused, ${count === 1 ? 'one thing is' : `${count} things are`} wrong:\n${describeIssues(parsed.issues)}`,
  );
}

function readText(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
    if (code === 'ENOENT') throw wrongCall(`There is no file ${file}. Give the path of a plan in JSON or YAML.`);
    if (code === 'EISDIR') throw wrongCall(`${file} is a directory. Give the path of a plan in JSON or YAML.`);
    throw wrongCall(`${file} cannot be read: ${firstLine(error)}`);
  }
}

function parseFile(file: string, text: string): unknown {
  const yaml = ['.yaml', '.yml'].includes(extname(file).toLowerCase());
  try {
    return yaml ? parseYaml(text, { prettyErrors: false }) : JSON.parse(text);
  } catch (error) {
    // A parser quotes the text around the mistake, and there a password may stand.
    const where =
      error instanceof Error ? /(?:at position|at line|line) [\d, a-z]+/i.exec(error.message)?.[0] : undefined;
    throw wrongCall(
      `${file} is no valid ${yaml ? 'YAML' : 'JSON'}${where ? ` (${where})` : ''}. Correct it${yaml ? '' : ', or name it .yaml if it is YAML'}.`,
    );
  }
}
