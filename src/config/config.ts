/** The configuration, as the rest of the code sees it; its parts are in config/. */
export { KeySchema, ROLES, type Role, RoleSchema, type Scope, SCOPES, UserName, UserSchema } from "./accounts.ts";
export { type DeviceSettings, type EngineSettings } from "./device-settings.ts";
export { faultOfNats, natsUrls } from "./cluster-checks.ts";
export { deviceEntries, isRemote, urlsOf } from "./devices.ts";
export { checkFiles, engineFault, type EngineFault } from "./files.ts";
export { type Check, type ConfigOverrides, loadConfig, parseConfig, withoutNulls } from "./load.ts";
export { CONFIG_WORDS, configFile, configPlace } from "./place.ts";
export { MODEL_NAME, type ModelSettings } from "./models-section.ts";
export { type Config, ConfigSchema } from "./schema.ts";
export { hostsOf, isExposed, isLoopback, isReachable, UNIX_PEERS } from "./server-checks.ts";
export { type ReloadReport, reloadWords } from "./reload.ts";
export { holdingWords, openValues } from "./runtime-values.ts";
export { LiveSettings, type LiveUsers } from "./live.ts";
export { configView, type ConfigView } from "./view.ts";
