/** Types of the support chat: the element for host pages, and the data that the server sends. */

/** A message as the server sends it. `seq` numbers a chat's messages from 1 without gaps; times are ISO 8601 in UTC. */
export interface SupportMessage {
  id: string;
  content: string;
  sender_type: "user" | "admin";
  read_at: string | null;
  created_at: string;
  seq: number;
  client_id: string | null;
}

export interface MessagePage {
  messages: SupportMessage[];
  has_more: boolean;
  last_seq: number;
  /** The cursor named another message: fetch the chat again. */
  reset?: boolean;
}

export interface SupportChatSnapshot extends MessagePage {
  id: string;
  unread_count: number;
  archived: boolean;
}

export interface SupportChatEventMap {
  "support-chat:open": CustomEvent<null>;
  "support-chat:close": CustomEvent<null>;
  /** A message from staff arrived while the page was open. */
  "support-chat:message": CustomEvent<{ message: SupportMessage }>;
  /** The number of unread staff messages changed. */
  "support-chat:unread": CustomEvent<{ count: number }>;
}

/** `<support-chat>`. Every attribute is also a property. */
export interface SupportChatElement extends HTMLElement {
  /** Identity token, signed by the host application's back end. Without one the person is a visitor. */
  token: string | null;
  /** Called when a token is needed, and again when the server refuses it. */
  getToken: (() => Promise<string> | string) | null;
  heading: string | null;
  greeting: string | null;
  /** Any CSS color; the color of text on it is computed. */
  accent: string | null;
  theme: "light" | "dark" | "auto" | null;
  open: boolean;
  /** The number of unread messages from staff. */
  readonly unread: number;
  show(): void;
  hide(): void;
  toggle(): void;
}

declare global {
  interface HTMLElementTagNameMap {
    "support-chat": SupportChatElement;
  }
  interface HTMLElementEventMap extends SupportChatEventMap {}
}
