// Tables whose columns are other ones on the target: their shape, their rejects, and the proof of each column by its own expression.
import type { PostgresDependencies } from '../../dependencies';
import { createTransformedComparison } from './compare';
import { createRejectActivities } from './keep';
import { createShapeActivities } from './shape';

export function createTransformActivities(dependencies: PostgresDependencies) {
  return {
    ...createShapeActivities(dependencies),
    ...createRejectActivities(dependencies),
    ...createTransformedComparison(dependencies),
  };
}
