/** The Worker as it calls itself, by `exports` of `cloudflare:workers`. */
declare namespace Cloudflare {
  interface GlobalProps {
    mainModule: { default: ExportedHandler };
  }
}
