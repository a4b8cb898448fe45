/*
 * The C library's converters of character sets are files that it loads when they are first
 * asked for, which a worker in its sandbox cannot. So those that mails are written in are
 * loaded before: by the process that workers are forked from, whose memory they share.
 */
#ifndef ENGINE_CHARSETS_H
#define ENGINE_CHARSETS_H

/* Once, before the first fork. How many of them the system has. */
unsigned charsets_load(void);

#endif
