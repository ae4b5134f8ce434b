/** The actions of the audit log: a closed list. A code is stored for months and read by programs, so none ever means something else. */

/** Each action, and what it is when it has been done. docs/audit.md has the same list. */
export const AUDIT_ACTIONS = {
  "auth.sign_in": "An address has proven a key, a password or a token, for the first time in a day.",
  "auth.refused": "A key, a password or a token was refused.",
  "user.add": "A user was added.",
  "user.change": "A user got another role, team or password.",
  "user.remove": "A user was removed, with its keys.",
  "key.add": "A key was made.",
  "key.rotate": "A key was replaced by another one of the same name.",
  "key.revoke": "A key was revoked.",
  "webhook_secret.rotate": "A user's webhook secret was replaced.",
  "webhook.resume": "Webhooks are sent again to where they went in vain.",
  "config.change": "The configuration was changed while the server ran.",
  "config.reload": "The configuration was read again.",
  "gpu.drain": "A GPU was taken out of service.",
  "gpu.resume": "A GPU was brought back into service.",
  "machine.invite": "A token was made with which a machine may join the cluster.",
  "machine.revoke": "A machine was locked out of the cluster.",
  "model.load": "A model was to be loaded.",
  "model.unload": "A model was to be unloaded.",
  "model.pull": "A model was to be fetched.",
  "model.remove": "A model was removed.",
  "task.cancel": "A task of another user was canceled.",
  "task.cancel_many": "Tasks of any user were canceled by a filter.",
  "task.retry": "A task of another user was submitted again.",
  "task.remove": "A task was removed.",
  "batch.cancel": "A batch of another user was canceled.",
  "file.remove": "A file was removed.",
  "export.backup": "A backup was made.",
  "export.usage": "Usage was exported as CSV.",
  "export.audit": "The audit log was exported as CSV.",
  "export.results": "The results of another user's batch were read.",
  "export.file": "The content of another user's file was read.",
  "data.sweep": "What was old enough was removed at once.",
  "data.compact": "The task database was written anew.",
  "data.copy": "All that is stored was copied to another kind of database.",
  "data.forget": "What was stored of a user was removed.",
  "data.restore": "A data directory was made of a backup.",
} as const;

export type AuditAction = keyof typeof AUDIT_ACTIONS;

export const AUDIT_CODES = Object.keys(AUDIT_ACTIONS) as AuditAction[];

export function isAuditAction(text: string): text is AuditAction {
  return Object.hasOwn(AUDIT_ACTIONS, text);
}
