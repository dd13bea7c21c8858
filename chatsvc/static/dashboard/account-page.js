// @ts-check
/** The search page and the account page, which has this browser's settings. */
import { shortcuts } from "./shortcuts.js";
import { settingSwitch } from "./switches.js";
import { keepTimesRight } from "./times.js";
import { tools } from "./tools.js";

const fieldset = document.getElementById("browser-settings");
for (const setting of /** @type {const} */ (["notifications", "sound", "shortcuts"]))
  fieldset?.append(settingSwitch(setting));
if (fieldset) fieldset.hidden = false;
shortcuts({ ...tools(), u: () => location.assign("/dashboard") });
keepTimesRight();
