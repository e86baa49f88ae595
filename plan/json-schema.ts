// Writes the JSON Schemas that editors use: `node dist/plan/json-schema.js` from the top of the checkout. A test keeps them in step with zod.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { calicoPlanSchema } from './calico';
import { postgresPlanSchema } from './postgres';

/** The plan as operators write it (defaults not required), as JSON Schema draft 2020-12. */
export function postgresPlanJsonSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(postgresPlanSchema, { io: 'input' }), undefined, 2)}\n`;
}

/** The same for Calico plans. */
export function calicoPlanJsonSchema(): string {
  return `${JSON.stringify(z.toJSONSchema(calicoPlanSchema, { io: 'input' }), undefined, 2)}\n`;
}

if (require.main === module) {
  writeFileSync(join('plan', 'postgres-plan.schema.json'), postgresPlanJsonSchema());
  writeFileSync(join('plan', 'calico-plan.schema.json'), calicoPlanJsonSchema());
}
