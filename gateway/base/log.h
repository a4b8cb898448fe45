/*
 * Logs: one named event a line, key=value. Only this module escapes hostile bytes: values that
 * hold anything but printable ASCII without space, '"', '=' or '\' are quoted, with \xHH for
 * the rest. A line is at most 4096 bytes (a pipe takes it whole); what is longer is cut at a
 * value.
 *
 *     struct log_line l;
 *     log_begin(&l, EV_REJECT, &session->log);
 *     log_slice(&l, "sender", sender);
 *     log_number(&l, "size", size);
 *     log_end(&l);
 *
 * Event names stand in base/log_events.def, which the manual is made from. No secrets, no
 * bodies.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdint.h>

#include "base/err.h"
#include "base/ip.h"
#include "base/slice.h"

enum log_level {
	LOG_LEVEL_ERROR = 3,
	LOG_LEVEL_WARNING = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7
};

enum log_event {
#define LOG_EVENT(id, name, level, text) id,
#include "base/log_events.def"
#undef LOG_EVENT
	LOG_EVENT_COUNT
};

enum log_target { LOG_TO_STDERR, LOG_TO_SYSLOG };

/* What every line of a session or mail carries; inherited through `up`. */
struct log_context {
	const struct log_context *up;
	const char *key; /* "session", "mail" */
	char value[24];
};

enum { LOG_LINE_BYTES = 4096 };

struct log_line {
	enum log_event event;
	size_t used;
	bool cut;
	char text[LOG_LINE_BYTES];
};

/* Once in a process, before the first line. process: "session", "keeper"; kept, not copied. */
void log_open(enum log_target target, const char *process);
void log_begin(struct log_line *l, enum log_event event, const struct log_context *ctx);
void log_slice(struct log_line *l, const char *key, struct slice value);
void log_text(struct log_line *l, const char *key, const char *value);
void log_number(struct log_line *l, const char *key, int64_t value);
void log_ip(struct log_line *l, const char *key, const struct ip *ip);
void log_end(struct log_line *l);
/* The whole of the commonest line: event=... error="..." */
void log_error(enum log_event event, const struct log_context *ctx, const struct err *err);

const char *log_event_name(enum log_event event);
const char *log_event_text(enum log_event event);
enum log_level log_event_level(enum log_event event);

#endif
