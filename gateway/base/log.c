/*
 * Event lines: built in a fixed buffer, escaped here alone, written whole; see log.h. What a
 * stranger sent can fill a value and cannot begin another one.
 */
#include "base/log.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/must.h"

struct event_row {
	const char *name;
	enum log_level level;
	const char *text;
};

static const struct event_row rows[] = {
#define LOG_EVENT(id, name, level, text) {name, level, text},
#include "base/log_events.def"
#undef LOG_EVENT
};

static enum log_target log_target = LOG_TO_STDERR;
static const char *log_process = "postern";
static bool log_journal; /* stderr goes to journald: it takes the level as <N> */

void
log_open(enum log_target target, const char *process)
{
	log_target = target;
	log_process = process;
	log_journal = target == LOG_TO_STDERR && getenv("JOURNAL_STREAM") != NULL;
	if (target == LOG_TO_SYSLOG)
		openlog("postern", LOG_PID | LOG_NDELAY, LOG_MAIL);
}

static bool
add(struct log_line *l, const char *p, size_t n)
{
	if (n > sizeof(l->text) - 1 - l->used) /* one byte is kept for the newline */
		return false;
	memcpy(l->text + l->used, p, n);
	l->used += n;
	return true;
}

static bool
is_plain(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (s.p[i] <= ' ' || s.p[i] > '~' || strchr("\"=\\", s.p[i]) != NULL)
			return false;
	return s.n != 0;
}

static bool
add_escaped(struct log_line *l, struct slice s)
{
	static const char hex[] = "0123456789abcdef";
	bool ok = add(l, "\"", 1);
	for (size_t i = 0; ok && i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];
		if (c == '"' || c == '\\')
			ok = add(l, (const char[]){'\\', (char)c}, 2);
		else if (c < ' ' || c > '~')
			ok = add(l, (const char[]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
		else
			ok = add(l, &s.p[i], 1);
	}
	return ok && add(l, "\"", 1);
}

void
log_slice(struct log_line *l, const char *key, struct slice value)
{
	size_t before = l->used;
	if (l->cut)
		return;
	bool ok = add(l, " ", 1) && add(l, key, strlen(key)) && add(l, "=", 1) &&
		  (is_plain(value) ? add(l, value.p, value.n) : add_escaped(l, value));
	if (!ok) {
		l->used = before;
		l->cut = true;
	}
}

void
log_text(struct log_line *l, const char *key, const char *value)
{
	log_slice(l, key, slice_of(value));
}

void
log_number(struct log_line *l, const char *key, int64_t value)
{
	char text[24];
	snprintf(text, sizeof(text), "%" PRId64, value);
	log_text(l, key, text);
}

void
log_ip(struct log_line *l, const char *key, const struct ip *ip)
{
	char text[IP_TEXT_BYTES];
	log_slice(l, key, ip_text(ip, text));
}

static void
add_context(struct log_line *l, const struct log_context *ctx)
{
	if (ctx == NULL)
		return;
	add_context(l, ctx->up);
	if (ctx->value[0] != '\0')
		log_text(l, ctx->key, ctx->value);
}

static void
add_time(struct log_line *l)
{
	int64_t now = clock_wall_ms();
	time_t t = (time_t)(now / 1000);
	struct tm tm;
	char text[40];
	must(gmtime_r(&t, &tm) != NULL);
	size_t n = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
	n += (size_t)snprintf(text + n, sizeof(text) - n, ".%03dZ ", (int)(now % 1000));
	add(l, text, n);
}

void
log_begin(struct log_line *l, enum log_event event, const struct log_context *ctx)
{
	l->event = event;
	l->used = 0;
	l->cut = false;
	if (log_target == LOG_TO_STDERR) {
		if (log_journal)
			add(l, (const char[]){'<', (char)('0' + (int)rows[event].level), '>'},
				3);
		else
			add_time(l);
	}
	add(l, "event=", 6);
	add(l, rows[event].name, strlen(rows[event].name));
	log_text(l, "process", log_process);
	add_context(l, ctx);
}

void
log_end(struct log_line *l)
{
	if (log_target == LOG_TO_SYSLOG) {
		l->text[l->used] = '\0';
		syslog((int)rows[l->event].level, "%s", l->text);
		return;
	}
	l->text[l->used++] = '\n';
	for (size_t at = 0; at < l->used;) {
		ssize_t n = write(STDERR_FILENO, l->text + at, l->used - at);
		if (n <= 0)
			return; /* nowhere left to say so */
		at += (size_t)n;
	}
}

void
log_error(enum log_event event, const struct log_context *ctx, const struct err *err)
{
	struct log_line l;
	log_begin(&l, event, ctx);
	log_text(&l, "error", err->text);
	log_end(&l);
}

const char *
log_event_name(enum log_event event)
{
	return rows[event].name;
}

const char *
log_event_text(enum log_event event)
{
	return rows[event].text;
}

enum log_level
log_event_level(enum log_event event)
{
	return rows[event].level;
}
