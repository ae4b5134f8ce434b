/** The configuration, as the rest of the code sees it; its parts are in config/. */
export { KeySchema, ROLES, type Role, RoleSchema, UserSchema } from "./config/accounts.ts";
export { isLoopback } from "./config/checks.ts";
export { type DeviceSettings, type EngineSettings } from "./config/device-settings.ts";
export { deviceEntries, isRemote, urlsOf } from "./config/devices.ts";
export { checkFiles, engineFault, type EngineFault } from "./config/files.ts";
export { type Check, configFile, type ConfigOverrides, loadConfig, parseConfig, withoutNulls } from "./config/load.ts";
export { type Config, ConfigSchema } from "./config/schema.ts";
