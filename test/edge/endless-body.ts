/** A request body that never ends, and what has become of it. */
export class EndlessBody {
  readonly stream: ReadableStream<Uint8Array>;
  /** Chunks that somebody has asked for. */
  sent = 0;
  isCancelled = false;

  constructor(chunkBytes: number) {
    const chunk = new TextEncoder().encode("x".repeat(chunkBytes));
    this.stream = new ReadableStream({
      pull: (controller) => {
        this.sent += 1;
        controller.enqueue(chunk);
      },
      cancel: () => {
        this.isCancelled = true;
      },
    });
  }
}
