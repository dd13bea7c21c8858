// @ts-check
/** The account page's part that only this browser knows. */
import { settingSwitch } from "./switches.js";

const fieldset = document.getElementById("browser-settings");
for (const setting of /** @type {const} */ (["notifications", "sound", "shortcuts"])) fieldset?.append(settingSwitch(setting));
if (fieldset) fieldset.hidden = false;
