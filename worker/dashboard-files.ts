import action from "../dashboard/action.js" with { type: "text" };
import adminTokens from "../dashboard/admin-tokens.js" with { type: "text" };
import apiError from "../dashboard/api-error.js" with { type: "text" };
import api from "../dashboard/api.js" with { type: "text" };
import bulkOrders from "../dashboard/bulk-orders.js" with { type: "text" };
import changeList from "../dashboard/change-list.js" with { type: "text" };
import changesView from "../dashboard/changes-view.js" with { type: "text" };
import changes from "../dashboard/changes.js" with { type: "text" };
import chosenMachines from "../dashboard/chosen-machines.js" with { type: "text" };
import commands from "../dashboard/commands.js" with { type: "text" };
import confirm from "../dashboard/confirm.js" with { type: "text" };
import connectFields from "../dashboard/connect-fields.js" with { type: "text" };
import dayChart from "../dashboard/day-chart.js" with { type: "text" };
import dayUse from "../dashboard/day-use.js" with { type: "text" };
import details from "../dashboard/details.js" with { type: "text" };
import dialogs from "../dashboard/dialogs.js" with { type: "text" };
import dom from "../dashboard/dom.js" with { type: "text" };
import flagForm from "../dashboard/flag-form.js" with { type: "text" };
import flagWarnings from "../dashboard/flag-warnings.js" with { type: "text" };
import flagWords from "../dashboard/flag-words.js" with { type: "text" };
import flagsView from "../dashboard/flags-view.js" with { type: "text" };
import flags from "../dashboard/flags.js" with { type: "text" };
import format from "../dashboard/format.js" with { type: "text" };
import glossary from "../dashboard/glossary.js" with { type: "text" };
import icon from "../dashboard/icon.svg" with { type: "text" };
import keyDialog from "../dashboard/key-dialog.js" with { type: "text" };
import keyList from "../dashboard/key-list.js" with { type: "text" };
import keySettings from "../dashboard/key-settings.js" with { type: "text" };
import keyStore from "../dashboard/key-store.js" with { type: "text" };
import keysView from "../dashboard/keys-view.js" with { type: "text" };
import keys from "../dashboard/keys.js" with { type: "text" };
import ledger from "../dashboard/ledger.js" with { type: "text" };
import listingEntry from "../dashboard/listing-entry.js" with { type: "text" };
import listingFields from "../dashboard/listing-fields.js" with { type: "text" };
import lists from "../dashboard/lists.js" with { type: "text" };
import machineDetails from "../dashboard/machine-details.js" with { type: "text" };
import machineDialog from "../dashboard/machine-dialog.js" with { type: "text" };
import machineOrdersView from "../dashboard/machine-orders-view.js" with { type: "text" };
import machineOrders from "../dashboard/machine-orders.js" with { type: "text" };
import machinesView from "../dashboard/machines-view.js" with { type: "text" };
import machines from "../dashboard/machines.js" with { type: "text" };
import main from "../dashboard/main.js" with { type: "text" };
import modelDialog from "../dashboard/model-dialog.js" with { type: "text" };
import modelEntry from "../dashboard/model-entry.js" with { type: "text" };
import modelSources from "../dashboard/model-sources.js" with { type: "text" };
import page from "../dashboard/page.html" with { type: "text" };
import pagedTable from "../dashboard/paged-table.js" with { type: "text" };
import placementColumns from "../dashboard/placement-columns.js" with { type: "text" };
import placementHistory from "../dashboard/placement-history.js" with { type: "text" };
import placementView from "../dashboard/placement-view.js" with { type: "text" };
import placement from "../dashboard/placement.js" with { type: "text" };
import poolsView from "../dashboard/pools-view.js" with { type: "text" };
import pools from "../dashboard/pools.js" with { type: "text" };
import refresher from "../dashboard/refresher.js" with { type: "text" };
import refusals from "../dashboard/refusals.js" with { type: "text" };
import refusedDialsView from "../dashboard/refused-dials-view.js" with { type: "text" };
import refusedDials from "../dashboard/refused-dials.js" with { type: "text" };
import replayView from "../dashboard/replay-view.js" with { type: "text" };
import revocation from "../dashboard/revocation.js" with { type: "text" };
import rights from "../dashboard/rights.js" with { type: "text" };
import secretDialog from "../dashboard/secret-dialog.js" with { type: "text" };
import settingFields from "../dashboard/setting-fields.js" with { type: "text" };
import snapshot from "../dashboard/snapshot.js" with { type: "text" };
import tabMemory from "../dashboard/tab-memory.js" with { type: "text" };
import table from "../dashboard/table.js" with { type: "text" };
import whatIfView from "../dashboard/what-if-view.js" with { type: "text" };
import whatIf from "../dashboard/what-if.js" with { type: "text" };
import words from "../dashboard/words.js" with { type: "text" };

import barStyle from "../dashboard/bar.css" with { type: "text" };
import baseStyle from "../dashboard/base.css" with { type: "text" };
import chartsStyle from "../dashboard/charts.css" with { type: "text" };
import controlsStyle from "../dashboard/controls.css" with { type: "text" };
import dialogsStyle from "../dashboard/dialogs.css" with { type: "text" };
import loginStyle from "../dashboard/login.css" with { type: "text" };
import narrowStyle from "../dashboard/narrow.css" with { type: "text" };
import sectionsStyle from "../dashboard/sections.css" with { type: "text" };
import tablesStyle from "../dashboard/tables.css" with { type: "text" };

/** The files of the dashboard, which travel in the Worker's own bundle. */

export const DASHBOARD_PAGE = page;

export const DASHBOARD_FILES: ReadonlyMap<string, string> = new Map([
  ["action.js", action],
  ["admin-tokens.js", adminTokens],
  ["api-error.js", apiError],
  ["api.js", api],
  ["bar.css", barStyle],
  ["base.css", baseStyle],
  ["charts.css", chartsStyle],
  ["bulk-orders.js", bulkOrders],
  ["change-list.js", changeList],
  ["changes-view.js", changesView],
  ["changes.js", changes],
  ["chosen-machines.js", chosenMachines],
  ["commands.js", commands],
  ["confirm.js", confirm],
  ["connect-fields.js", connectFields],
  ["controls.css", controlsStyle],
  ["day-chart.js", dayChart],
  ["day-use.js", dayUse],
  ["details.js", details],
  ["dialogs.css", dialogsStyle],
  ["dialogs.js", dialogs],
  ["dom.js", dom],
  ["flag-form.js", flagForm],
  ["flag-warnings.js", flagWarnings],
  ["flag-words.js", flagWords],
  ["flags-view.js", flagsView],
  ["flags.js", flags],
  ["format.js", format],
  ["glossary.js", glossary],
  ["icon.svg", icon],
  ["key-dialog.js", keyDialog],
  ["key-list.js", keyList],
  ["key-settings.js", keySettings],
  ["key-store.js", keyStore],
  ["keys-view.js", keysView],
  ["keys.js", keys],
  ["ledger.js", ledger],
  ["listing-entry.js", listingEntry],
  ["listing-fields.js", listingFields],
  ["lists.js", lists],
  ["login.css", loginStyle],
  ["machine-details.js", machineDetails],
  ["machine-dialog.js", machineDialog],
  ["machine-orders-view.js", machineOrdersView],
  ["machine-orders.js", machineOrders],
  ["machines-view.js", machinesView],
  ["machines.js", machines],
  ["main.js", main],
  ["model-dialog.js", modelDialog],
  ["model-entry.js", modelEntry],
  ["model-sources.js", modelSources],
  ["narrow.css", narrowStyle],
  ["paged-table.js", pagedTable],
  ["placement-columns.js", placementColumns],
  ["placement-history.js", placementHistory],
  ["placement-view.js", placementView],
  ["placement.js", placement],
  ["pools-view.js", poolsView],
  ["pools.js", pools],
  ["refresher.js", refresher],
  ["refusals.js", refusals],
  ["refused-dials-view.js", refusedDialsView],
  ["refused-dials.js", refusedDials],
  ["replay-view.js", replayView],
  ["revocation.js", revocation],
  ["rights.js", rights],
  ["secret-dialog.js", secretDialog],
  ["sections.css", sectionsStyle],
  ["setting-fields.js", settingFields],
  ["snapshot.js", snapshot],
  ["tab-memory.js", tabMemory],
  ["table.js", table],
  ["tables.css", tablesStyle],
  ["what-if-view.js", whatIfView],
  ["what-if.js", whatIf],
  ["words.js", words],
]);
