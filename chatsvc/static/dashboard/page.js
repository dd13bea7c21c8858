// @ts-check
/** Pages that do not change while they are open: times in the reader's own time zone. */
import { keepTimesRight } from "./times.js";

keepTimesRight();
