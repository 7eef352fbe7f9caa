/** What may happen in a random life of a pool. `which` picks one of those there are, whatever their number. */
export type LifeEvent =
  | { kind: "ask"; key: number; stream: boolean; again: boolean; deadlineMs: number }
  | { kind: "dial"; machine: number }
  | {
      kind: "register";
      which: number;
      own: boolean;
      again: boolean;
      admitted: boolean;
      limit: number;
      loaded: boolean;
      offers: boolean;
    }
  | { kind: "join"; machine: number; limit: number; loaded: boolean; offers: boolean }
  /** A machine does what it should do next. */
  | { kind: "go on"; which: number }
  /** A machine says what it likes. */
  | {
      kind: "say";
      what: string;
      errorClass: string;
      which: number;
      late: boolean;
      wrongId: boolean;
      wrongSocket: boolean;
    }
  | { kind: "heartbeat"; which: number; running: number; limit: number; accepting: boolean; loaded: boolean }
  /** From now on a machine fails all that it has not begun to answer, or no longer does. */
  | { kind: "spoil"; machine: number }
  | { kind: "leave"; which: number }
  | { kind: "read"; which: number; undelivered: number }
  | { kind: "lose"; which: number }
  | { kind: "garbage"; which: number; binary: boolean }
  | { kind: "sleep" }
  /** Unless they are mute, the machines go on pinging. */
  | { kind: "wait"; ms: number; mute: boolean };
