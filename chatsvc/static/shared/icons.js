// @ts-check
/** Shapes that the button and the panel share. */

export const BUBBLE =
  "M12 3C6.8 3 3 6.5 3 10.9c0 2.4 1.2 4.6 3.1 6 0 1.3-.5 2.6-1.4 3.6 1.9-.1 3.6-.7 5-1.8.7.1 1.5.2 2.3.2 5.2 0 9-3.5 9-8S17.2 3 12 3z";
export const CROSS =
  "M6.4 5 5 6.4l5.6 5.6L5 17.6 6.4 19l5.6-5.6 5.6 5.6 1.4-1.4-5.6-5.6L19 6.4 17.6 5 12 10.6z";
