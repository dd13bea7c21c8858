/** The events of the streams. Generated from chatsvc/wire.py by `make dist`; do not edit. */

import type { SupportMessage } from "./support-chat.js";

export interface ChatStateEvent {
  type: "state";
  last_seq: number;
  unread_count: number;
  read_up_to: number;
  viewed_up_to: number;
  archived: boolean;
}

export interface NewMessageEvent {
  type: "new_message";
  message: SupportMessage;
}

export interface MessagesReadEvent {
  type: "messages_read";
  read_up_to: number;
  read_at: string;
}

export interface AdminViewedEvent {
  type: "admin_viewed";
  up_to: number;
}

export interface ChatUpdatedEvent {
  type: "chat_updated";
  archived: boolean;
}

export interface ResetEvent {
  type: "reset";
}

export interface StaffStateEvent {
  type: "state";
  unread_chats: number;
}

export interface NewUserMessageEvent {
  type: "new_user_message";
  chat_id: string;
  user_email: string | null;
  user_name: string | null;
  message: SupportMessage;
  user_sub: string | null;
}

export interface SupportChatListItem {
  id: string;
  user_id: string;
  user_email: string | null;
  user_name: string | null;
  last_message_at: string | null;
  last_message_preview: string | null;
  last_message_sender: "user" | "admin" | null;
  message_count: number;
  unread: boolean;
  archived: boolean;
  user_sub: string | null;
}

export interface StaffChatUpdatedEvent {
  type: "chat_updated";
  chat: SupportChatListItem;
}

export type ChatEvent =
  | ChatStateEvent
  | NewMessageEvent
  | MessagesReadEvent
  | AdminViewedEvent
  | ChatUpdatedEvent
  | ResetEvent;

export type StaffEvent =
  | StaffStateEvent
  | NewUserMessageEvent
  | StaffChatUpdatedEvent;
