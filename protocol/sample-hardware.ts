import type { Hardware } from "./upstream.ts";

/** Hardware of real Macs in the form of `register`, for tests, benchmarks and simulations. */

export const M3_ULTRA: Hardware = {
  machine_model: "Mac15,14",
  chip_name: "Apple M3 Ultra",
  chip_family: "M3",
  chip_tier: "Ultra",
  memory_gb: 96,
  gpu_cores: 60,
  memory_bandwidth_gbs: 819,
};

export const M3_MAX: Hardware = {
  machine_model: "Mac15,9",
  chip_name: "Apple M3 Max",
  chip_family: "M3",
  chip_tier: "Max",
  memory_gb: 64,
  gpu_cores: 40,
  memory_bandwidth_gbs: 400,
};
