import { StringForms } from "./string-form.ts";

/** What all schemas of one request may take up together: each is read while the streams of other requests wait. */
export class SharedLimits {
  readonly forms = new StringForms();
  /** Schemas and literals; so many are read in less than a second. */
  nodesLeft = 32_768;
}
