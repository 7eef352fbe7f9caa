import { AUTO_CONTEXT } from "../engine.ts";
import { DEFAULT_SLOTS } from "./defaults.ts";

export const HELP = `Serves open models on this machine for a Poolkeeper coordinator.

  poolkeeper-provider --coordinator https://pool.example.com --token-file ~/.poolkeeper/token \\
    --model gpt-oss-20b=hf:bartowski/openai_gpt-oss-20b-GGUF/openai_gpt-oss-20b-MXFP4.gguf

  poolkeeper-provider why ...
    says what the coordinator sees of this machine, what keeps requests away, and which
    model would be most useful here; with the same flags, of which it needs only those
    of the connection, and --state

  poolkeeper-provider pause, poolkeeper-provider resume
    serve only this machine's owner from now on, or everybody again; of the flags they
    need --state only

Connection
  --coordinator URL     address of the coordinator       [POOLKEEPER_COORDINATOR]
  --token-file FILE     file that holds the provider token
  --token TOKEN         the token itself; other users of this machine can see it
                        in the process list              [POOLKEEPER_PROVIDER_TOKEN]
  --machine-id ID       name of this machine in the fleet; chosen once and kept
  --attestation-chain FILE
                        certificates of Apple's Managed Device Attestation for
                        this machine's key (PEM)
  --private             serve only requests of this machine's owner
  --not-on-battery      the same while this Mac runs on battery
  --not-while-used N    the same while somebody has used it within N minutes

Models
  --model ID=FILE       offer a GGUF file under a catalog id; may be repeated,
                        the first one that is here is loaded at the start
  --model ID=hf:ORG/REPO/FILE, or ID=URL
                        the same; a file that is not there is downloaded, and the
                        other models are served meanwhile;
                        hf:ORG/REPO@REVISION/FILE for another branch than main,
                        #sha256=HEX at the end to check it; gated models need a
                        token of Hugging Face                    [HF_TOKEN]
  --downloads-dir DIR   where downloaded models are kept (default: models in --state)
  --models-dir DIR      offer every *.gguf in a directory under its file name;
                        without --model the coordinator's catalog decides which
                        one is loaded first
  --slots N             requests at once (default ${DEFAULT_SLOTS})
  --context N           tokens per slot, at most what the model was trained for
                        (default: as many as fit into memory, ${AUTO_CONTEXT.least} to ${AUTO_CONTEXT.most})
  --threads N           CPU threads (default: the engine's choice)
  --engine NAME         llama (default), or echo: no model, repeats what it is told

Another engine: any server with OpenAI's API, and --model ID=NAME for what it calls a model;
a command may have files downloaded for it as above
  --server-command CMD  started for each model, ended to unload it; the shell finds
                        MODEL, PORT, SLOTS and CONTEXT in the environment, as in
                        'llama-server -m "$MODEL" --port $PORT -np $SLOTS'
  --server-url URL      one that runs anyway, such as Ollama or LM Studio
                                                         [POOLKEEPER_SERVER_KEY]

Program
  --state DIR           machine id and key (default ~/.poolkeeper)
  --no-caffeinate       let this Mac go to sleep while it serves
  --json                log lines as JSON
  --help, --version

Stop with Ctrl-C: running requests are finished first. A second Ctrl-C stops at once.`;
