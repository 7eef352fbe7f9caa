import { expect } from "vitest";

import type { ApiError } from "../../../../core/api-error.ts";
import { FakeClient } from "./fake-client.ts";
import type { Message } from "./fake-socket.ts";
import type { LifeEvent } from "./life-event.ts";
import { anAdmission, MODEL, PoolScene } from "./pool-scene.ts";
import { checkClients, checkPool, checkRefusals, checkRoutable } from "./random-checks.ts";
import {
  isAnswered,
  isBytes,
  Link,
  newJob,
  newSubmission,
  pickOf,
  settle,
  specOf,
  written,
  type Bytes,
  type Job,
  type LinkHost,
  type Submission,
} from "./random-link.ts";
import { isHeld, MAX_ATTEMPTS, REFUSALS_BELIEVED, roomOf, SETTINGS, SLOTS } from "./random-room.ts";

/**
 * A pool to which anything may happen, and a second bookkeeping of what must follow from it: told only what machines
 * and clients see, it knows of each request where it may be and of each machine what it may still be sent.
 */

type Say = Extract<LifeEvent, { kind: "say" }>;
type Register = Extract<LifeEvent, { kind: "register" }>;

export class RandomLife implements LinkHost {
  scene = new PoolScene([], undefined, undefined, SETTINGS);
  /** Outcomes as the pool counted them. */
  readonly outcomes: string[] = [];
  /** Arrivals as the pool counted them, and as they were. */
  readonly #arrivals = { counted: 0, made: 0 };
  /** What has happened, so that a test can see whether lives are worth living. */
  readonly reached: string[] = [];
  #links: Link[] = [];
  readonly #spoilt = new Set<string>();
  readonly #submissions: Submission[] = [];
  #bytes = 0;

  happen(event: LifeEvent): void {
    switch (event.kind) {
      case "ask":
        this.#ask(event);
        break;
      case "dial":
        this.#dial(event.machine);
        break;
      case "join":
        this.#tell(this.#dial(event.machine), { ...event, own: true, admitted: true });
        break;
      case "go on":
        this.#goOn(event.which);
        break;
      case "register":
        this.#register(event);
        break;
      case "say":
        this.#say(event);
        break;
      case "heartbeat":
        this.#heartbeat(event);
        break;
      case "spoil": {
        const machineId = `mac-${event.machine}`;
        if (!this.#spoilt.delete(machineId)) this.#spoilt.add(machineId);
        break;
      }
      case "leave": {
        const submission = pickOf(this.#open(), event.which);
        if (submission?.request == null) break;
        submission.gone = true;
        this.scene.pool.abandon(submission.request, this.scene.now);
        break;
      }
      case "read": {
        const submission = pickOf(this.#open(), event.which);
        if (submission?.request == null) break;
        submission.client.undelivered = event.undelivered;
        if (event.undelivered === 0) this.scene.pool.resume(submission.request, this.scene.now);
        break;
      }
      case "lose": {
        const link = pickOf(this.#openLinks(), event.which);
        if (link === undefined) break;
        link.end();
        this.scene.lose(link.machine);
        break;
      }
      case "garbage": {
        const link = pickOf(this.#openLinks(), event.which);
        if (link === undefined) break;
        if (event.binary)
          this.scene.pool.receiveFrame(link.machine.connection, new ArrayBuffer(3), this.scene.now);
        else this.scene.pool.receive(link.machine.connection, '{"type":"heartbeat"}', this.scene.now);
        expect(link.isOpen).toBe(false);
        break;
      }
      case "sleep":
        this.#sleep();
        break;
      case "wait":
        this.#wait(event);
        break;
    }
    this.#check();
  }

  /** Everybody falls silent for longer than any deadline. Everything must come to rest. */
  end(): void {
    this.scene.advance(620_000);
    this.#check();
    expect(this.#open()).toEqual([]);
    const report = this.scene.pool.report(this.scene.now, SLOTS);
    expect(report).toMatchObject({ inFlight: 0, queued: 0 });
    expect(report.machines.filter(({ inFlight }) => inFlight > 0)).toEqual([]);
    expect(this.scene.pool.nextTickAt(this.scene.now)).toBeNull();
    this.#countOutcomes();
    const ends = this.#submissions.map(({ client, gone }) => {
      if (gone) return "cancelled";
      return client.refusedWith ?? client.brokenWith ?? "ok";
    });
    expect([...this.outcomes].sort()).toEqual(ends.sort());
    expect(this.#arrivals.counted, "demand").toBe(this.#arrivals.made);
  }

  now(): number {
    return this.scene.now;
  }

  onClosed(how: string): void {
    this.reached.push(how);
  }

  onSent(link: Link, message: Message): void {
    const stream = Number(message["stream"]);
    if (message.type === "inference_request") this.#onRequest(link, message);
    if (message.type === "cancel") {
      const job = link.jobs.get(stream);
      expect(job, "a cancel for nothing").toMatchObject({ over: false, cancelledAt: null });
      if (job === undefined) return;
      job.cancelledAt = this.scene.now;
      // If it is tried again, that was for this machine's fault.
      job.submission.failedOn.add(link.machineId);
      if (job.submission.live === job) job.submission.live = null;
    }
    if (message.type === "pause" || message.type === "resume") {
      const job = link.jobs.get(stream);
      expect(job?.submission.live, "a pause for nothing").toBe(job);
      expect(job?.paused).toBe(message.type === "resume");
      this.reached.push(message.type);
      if (job !== undefined) job.paused = message.type === "pause";
    }
  }

  #onRequest(link: Link, message: Message): void {
    const stream = Number(message["stream"]);
    const submission = this.#submissions.findLast(({ requestId }) => requestId === message["request_id"]);
    if (submission === undefined) throw new Error("a request nobody made");
    const { client } = submission;
    expect(client.ended, "sent after its end").toBeNull();
    expect(submission.gone, "sent after its client had gone").toBe(false);
    expect(submission.live, "on two machines at once").toBeNull();
    if (submission.stream) expect(client.content, "tried again after its first byte").toBe("");
    expect(submission.failedOn.has(link.machineId), "on a machine that had failed it").toBe(false);
    expect(stream, "a stream number twice").toBeGreaterThan(link.lastStream);
    expect(this.#room(link), "more than the machine has room for").toBeGreaterThan(0);
    submission.attempts += 1;
    this.reached.push(`attempt ${submission.attempts}`);
    expect(submission.attempts - submission.noRoom).toBeLessThanOrEqual(MAX_ATTEMPTS);
    submission.expected = "";
    link.lastStream = stream;
    const job = newJob(submission, link, stream);
    link.jobs.set(stream, job);
    submission.live = job;
  }

  /** A client is told that there is no room: then there is none that it could have (F8, C6). */
  #onRefused(submission: Submission, { code }: ApiError): void {
    const isForLackOfRoom = code === "queue_full" || code === "queue_timeout" || code === "pool_exhausted";
    if (!isForLackOfRoom || submission.attempts - submission.noRoom === MAX_ATTEMPTS) return;
    for (const link of this.#openLinks()) {
      if (submission.failedOn.has(link.machineId) || !link.wasAlive) continue;
      expect(this.#room(link), `${link.machineId} has room when ${code} is said`).toBe(0);
    }
  }

  #ask({ key, stream, again, deadlineMs }: Extract<LifeEvent, { kind: "ask" }>): void {
    const earlier = again ? pickOf(this.#open(), this.#submissions.length) : undefined;
    const requestId = earlier?.requestId ?? `req_${this.#submissions.length}`;
    if (earlier !== undefined) {
      earlier.gone = true;
      this.reached.push("sent again");
    } else {
      this.#arrivals.made += 1;
    }
    const client = new FakeClient((error) => this.#onRefused(submission, error));
    const submission = newSubmission(requestId, stream, client);
    // An earlier one under the same id is cancelled before this one is sent.
    this.#submissions.push(submission);
    const spec = specOf(submission, key, this.scene.now, deadlineMs);
    submission.request = this.scene.pool.submit(spec, client, this.scene.now);
  }

  #dial(machine: number): Link {
    const machineId = `mac-${machine}`;
    const link = new Link(this, machineId);
    link.machine = this.scene.dial(machineId, link);
    this.#links.push(link);
    return link;
  }

  #register(event: Register): void {
    const links = this.#openLinks().filter((open) => open.registered === event.again);
    const link = pickOf(links, event.which);
    if (link !== undefined) this.#tell(link, event);
  }

  #tell(
    link: Link,
    { own, admitted, limit, loaded, offers }: Omit<Register, "kind" | "which" | "again">,
  ): void {
    const isRight = own && !link.registered;
    const fields = {
      max_concurrency: limit,
      loaded_models: loaded ? [MODEL] : [],
      models: offers ? [{ id: MODEL, size_bytes: 1 }] : [],
      ...(own ? {} : { machine_id: "mac-other" }),
    };
    if (isRight)
      Object.assign(link, { registered: true, limit, loaded, offers, running: 0, accepting: true });
    link.lastSignAt = this.scene.now;
    this.scene.register(link.machine, fields);
    expect(link.isOpen).toBe(isRight);
    if (!isRight) return;
    link.admitted = admitted;
    this.scene.admit(link.machine, admitted ? anAdmission() : { admitted: false, close: "foreignKey" });
    expect(link.isOpen).toBe(admitted);
    const same = this.#openLinks().filter((open) => open.admitted && open.machineId === link.machineId);
    expect(same.length).toBeLessThanOrEqual(1);
  }

  #heartbeat({ which, running, limit, accepting, loaded }: Extract<LifeEvent, { kind: "heartbeat" }>): void {
    const registered = this.#openLinks().filter((open) => open.registered);
    const link = pickOf(registered, which);
    if (link === undefined) return;
    Object.assign(link, {
      running,
      limit,
      accepting,
      loaded,
      lastSignAt: this.scene.now,
    });
    if (link.refusalsInARow < REFUSALS_BELIEVED) link.refusedAt = -Infinity;
    this.scene.heartbeat(link.machine, {
      running,
      max_concurrency: limit,
      accepting,
      loaded_models: loaded ? [MODEL] : [],
    });
  }

  /** A machine says something about a job: as a rule one of its own that is not over. */
  #say(event: Say): void {
    const jobs = this.#openLinks().flatMap((open) => [...open.jobs.values()]);
    const job = pickOf(event.late ? jobs : jobs.filter(({ over }) => !over), event.which);
    if (job !== undefined) this.#speak(job, event);
  }

  #speak(job: Job, { what, errorClass, which, wrongId, wrongSocket }: Say): void {
    const others = this.#openLinks().filter((open) => open !== job.link && open.admitted);
    const link = (wrongSocket ? pickOf(others, which) : undefined) ?? job.link;
    const target = link.jobs.get(job.stream);
    const { requestId } = job.submission;
    const request = { type: "", request_id: wrongId ? "req_wrong" : requestId, stream: job.stream };
    const sent = { machine: link.machine, request };
    link.lastSignAt = this.scene.now;
    if (isBytes(what)) this.#bytesOf(link, target, what);
    else {
      const isMeant =
        !wrongId &&
        target !== undefined &&
        isHeld(target, this.scene.now) &&
        target.submission.requestId === requestId;
      const before = isMeant ? target.submission.live : null;
      if (what === "accept") {
        if (isMeant && target.cancelledAt === null) target.accepted = true;
        this.scene.accept(sent);
      } else {
        const isWhole = before !== null && isAnswered(before);
        if (isMeant) this.#lastWord(target, what, errorClass);
        if (what === "complete") this.scene.complete(sent);
        else this.scene.error(sent, errorClass, "told");
        if (before !== null && before === target && what === "complete" && isWhole) {
          expect(before.submission.client.ended).toBe(before.submission.stream ? "finished" : "complete");
        }
      }
    }
  }

  #lastWord(job: Job, what: string, errorClass: string): void {
    const { submission, link } = job;
    const isLive = submission.live === job;
    if (what === "error" && errorClass === "capacity") {
      link.refusedAt = this.scene.now;
      link.refusalsInARow += 1;
    }
    if (what === "complete") link.refusalsInARow = 0;
    const isFault = what === "complete" ? !isAnswered(job) : errorClass !== "capacity";
    if (isLive && isFault) submission.failedOn.add(link.machineId);
    if (isLive && what === "error" && errorClass === "capacity") submission.noRoom += 1;
    settle(job);
  }

  #bytesOf(link: Link, job: Job | undefined, what: Bytes): void {
    const text = written(job, what, `<${link.machineId} ${++this.#bytes}>`);
    const stream = job?.stream ?? 99_999;
    this.scene.rawBytes({ machine: link.machine, request: { type: "", stream } }, text);
  }

  #sleep(): void {
    if (this.scene.pool.nextTickAt(this.scene.now) !== null) return;
    this.#countOutcomes();
    this.reached.push("slept");
    const links = this.#openLinks();
    const { scene, machines } = this.scene.sleep(...links.map(({ machine }) => machine));
    this.scene = scene;
    links.forEach((link, index) => {
      const machine = machines[index];
      if (machine !== undefined) link.machine = machine;
      // Only what the platform keeps is known of signs of life before.
      link.lastSignAt = link.machine.connection.identity.acceptedAt;
      link.refusedAt = -Infinity;
      link.refusalsInARow = 0;
    });
    this.#links = links;
  }

  #goOn(which: number): void {
    const jobs = this.#openLinks().flatMap((open) => [...open.jobs.values()]);
    const job = pickOf(
      jobs.filter(({ over }) => !over),
      which,
    );
    if (job === undefined) return;
    const says = { kind: "say", which: 0, late: false, wrongId: false, wrongSocket: false } as const;
    let what = "bytes";
    if (!job.accepted) what = "accept";
    else if (isAnswered(job) && which % 2 === 0) what = "complete";
    else if (job.submission.expected !== "" && which % 2 === 0) what = "end";
    else if (which % 5 === 0) what = "half";
    if (what === "bytes" && this.#spoilt.has(job.link.machineId)) what = "error";
    if (job.cancelledAt === null) this.#speak(job, { ...says, what, errorClass: "fault" });
    else this.#speak(job, { ...says, what: "error", errorClass: "cancelled" });
  }

  #wait({ ms, mute }: Extract<LifeEvent, { kind: "wait" }>): void {
    const alive = mute ? [] : this.#openLinks();
    this.scene.advance(ms, ...alive.map(({ machine }) => machine));
    for (const link of this.#links) link.wasAlive = link.isAlive;
  }

  #countOutcomes(): void {
    for (const { outcome, requests } of this.scene.pool.ledger.usage.drain()) {
      for (let i = 0; i < requests; i++) this.outcomes.push(outcome);
    }
    for (const { arrivals } of this.scene.pool.ledger.demand.drain()) this.#arrivals.counted += arrivals;
  }

  #check(): void {
    checkClients(this.#submissions);
    const links = this.#openLinks();
    const room = (link: Link): number => this.#room(link);
    checkRefusals(this.scene.pool.ledger.totals);
    const report = this.scene.pool.report(this.scene.now, SLOTS);
    checkPool(report, this.#open(), links, room, this.scene.now);
    checkRoutable(report, this.scene.pool.routable(this.scene.now));
  }

  /** Requests a machine may be sent now. */
  #room(link: Link): number {
    return roomOf(link, this.#openLinks(), this.scene.now, () => this.reached.push("breaker"));
  }

  #open(): Submission[] {
    return this.#submissions.filter(({ client, gone }) => client.ended === null && !gone);
  }

  #openLinks(): Link[] {
    return this.#links.filter(({ isOpen }) => isOpen);
  }
}
