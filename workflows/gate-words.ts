// What approving and rejecting each gate means, in one line: shown in timers, details and the command.
import type { GateName } from '../plan/gates';

export const gateWords: Record<GateName, string> = {
  start: 'approve to begin (nothing has been changed yet), reject to leave everything as it is',
  'go-live': 'approve if the rehearsal is good evidence, reject to leave production as it is',
  repair: 'approve to make the other side like the side that is used, row by row as listed, reject to undo everything',
  cutover: 'approve to stop writes and move the data now, reject to undo the preparation',
  'stop-writes': 'approve when nothing writes to the source any more, reject to undo',
  'switch-application': 'approve when the application uses the new side, reject to undo',
  'apply-manifest':
    'approve when Calico is configured as the gate says and rolled out, reject to undo (when going back: to be asked again)',
  unlock: 'approve to unlock the Kubernetes datastore: after it there is no loss-free way back; reject to undo',
  'continue-after-breach': 'approve to go on in spite of the breach, reject to be asked for the way back',
  accept: 'approve to keep the new side for good, reject to keep watching',
  'retire-source': 'approve to retire the source as the plan says, reject to keep it as it is',
  'drop-source':
    'approve to drop the database of the source for good (the reason must hold the words that the gate names), reject to keep it',
};
