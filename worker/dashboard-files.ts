import api from "../dashboard/api.js" with { type: "text" };
import commands from "../dashboard/commands.js" with { type: "text" };
import dom from "../dashboard/dom.js" with { type: "text" };
import flagsView from "../dashboard/flags-view.js" with { type: "text" };
import flags from "../dashboard/flags.js" with { type: "text" };
import format from "../dashboard/format.js" with { type: "text" };
import icon from "../dashboard/icon.svg" with { type: "text" };
import machineDetails from "../dashboard/machine-details.js" with { type: "text" };
import machineDialog from "../dashboard/machine-dialog.js" with { type: "text" };
import machinesView from "../dashboard/machines-view.js" with { type: "text" };
import machines from "../dashboard/machines.js" with { type: "text" };
import main from "../dashboard/main.js" with { type: "text" };
import page from "../dashboard/page.html" with { type: "text" };
import placementView from "../dashboard/placement-view.js" with { type: "text" };
import placement from "../dashboard/placement.js" with { type: "text" };
import poolsView from "../dashboard/pools-view.js" with { type: "text" };
import pools from "../dashboard/pools.js" with { type: "text" };
import refresher from "../dashboard/refresher.js" with { type: "text" };
import snapshot from "../dashboard/snapshot.js" with { type: "text" };
import table from "../dashboard/table.js" with { type: "text" };
import words from "../dashboard/words.js" with { type: "text" };

import style from "../dashboard/style.css" with { type: "text" };

/** The files of the dashboard, which travel in the Worker's own bundle. */

export const DASHBOARD_PAGE = page;

export const DASHBOARD_FILES: ReadonlyMap<string, string> = new Map([
  ["api.js", api],
  ["commands.js", commands],
  ["dom.js", dom],
  ["flags-view.js", flagsView],
  ["flags.js", flags],
  ["format.js", format],
  ["icon.svg", icon],
  ["machine-details.js", machineDetails],
  ["machine-dialog.js", machineDialog],
  ["machines-view.js", machinesView],
  ["machines.js", machines],
  ["main.js", main],
  ["placement-view.js", placementView],
  ["placement.js", placement],
  ["pools-view.js", poolsView],
  ["pools.js", pools],
  ["refresher.js", refresher],
  ["snapshot.js", snapshot],
  ["style.css", style],
  ["table.js", table],
  ["words.js", words],
]);
