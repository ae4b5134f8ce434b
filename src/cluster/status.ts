/** How a cluster looks to an operator. */

export interface MachineStatus {
  readonly name: string;
  /** null: it is there; one sentence. */
  readonly gone: string | null;
  /** When an operator has locked it out, in Unix milliseconds; null: none has. */
  readonly lockedOut: number | null;
  readonly gpus: number;
  /** Tasks that run there, as the leader knows. */
  readonly running: number;
  /** The version of the messages that its agent speaks. */
  readonly protocol: number;
  /** Seconds since its last sign of life, by the leader's own signs; null: it is gone. */
  readonly heartbeatAge: number | null;
  /** Commands that its agent has not obeyed yet, as far as is known. */
  readonly unacknowledged: number;
  /** Seconds by which its clock is ahead of the leader's; null: it has not said. */
  readonly clockAhead: number | null;
}

export interface ServerStatus {
  /** Its machine. */
  readonly name: string;
  readonly version: string;
  readonly leads: boolean;
  /** Where the other servers reach it; absent: there are no others. */
  readonly address?: string;
  /** Seconds since its last sign of life, by the clock of the database; absent: there are no others. */
  readonly heartbeatAge?: number;
}

/** A standby of the PostgreSQL server. Values that the server's role may not see are null. */
export interface StandbyStatus {
  readonly name: string | null;
  /** Such as `streaming`. */
  readonly state: string | null;
  /** Whether commits wait for it. */
  readonly isSynchronous: boolean;
  readonly lagBytes: number | null;
  readonly lagSeconds: number | null;
}

export interface DatabaseStatus {
  /** Without a login. */
  readonly at: string;
  readonly standbys: readonly StandbyStatus[];
}

export interface ClusterStatus {
  readonly id: string;
  readonly epoch: number;
  readonly nats: {
    readonly at: string;
    readonly isUp: boolean;
    /** Whether its servers refuse the credentials of machines that are locked out; absent: they cannot be told. */
    readonly knowsLockouts?: boolean;
  };
  readonly servers: readonly ServerStatus[];
  readonly machines: readonly MachineStatus[];
  /** null: tasks are in a file of the server. */
  readonly database: DatabaseStatus | null;
  /** One sentence each. */
  readonly warnings: readonly string[];
}

/** A token with which a machine may join. */
export interface Invitation {
  /** Where the NATS server is, without credentials. */
  readonly nats: string;
  readonly token: string;
  /** Unix milliseconds. */
  readonly expiresAt: number;
}

/** The credentials of a machine that was locked out. */
export interface LockedOut {
  /** `pending`: the NATS servers are told as soon as they can be reached; `unknown`: they came by no token, and only the NATS servers' configuration ends them. */
  readonly credentials: "revoked" | "pending" | "unknown";
}

/** The requests that operators may make of a cluster. */
export interface ClusterApi {
  /** @throws {AltLasError} `store_unavailable`: the database cannot be asked */
  status(): Promise<ClusterStatus>;
  /** @param machine for whom it is; left out: for any that is new @throws {AltLasError} `conflict`: this server may let nobody in */
  invite(machine?: string): Promise<Invitation>;
  /**
   * Locks a machine out until it joins with a new token.
   * @param by the user who asked
   * @throws {AltLasError} `conflict`: this server has no key for it; `not_found`: no machine has that name
   */
  lockOut(machine: string, by: string): Promise<LockedOut>;
}
