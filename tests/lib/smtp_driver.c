/* A driver of the server machine that answers at once; see smtp_driver.h. */
#include "smtp_driver.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/must.h"

static const struct smtp_offer offer = {.tls = true,
	.smtputf8 = true,
	.dsn = true,
	.eightbit = true,
	.size = 1000,
	.auth = "PLAIN LOGIN"};

static const char *const usual[] = {
	[SMTP_EV_CONNECT] = "220 ready",
	[SMTP_EV_HELO] = "250",
	[SMTP_EV_STARTTLS] = "220 2.0.0 go",
	[SMTP_EV_AUTH] = "235 2.7.0 ok",
	[SMTP_EV_AUTH_DATA] = "235 2.7.0 ok",
	[SMTP_EV_XCLIENT] = "220 ready",
	[SMTP_EV_XFORWARD] = "250 2.0.0 ok",
	[SMTP_EV_MAIL] = "250 2.1.0 ok",
	[SMTP_EV_RCPT] = "250 2.1.5 ok",
	[SMTP_EV_DATA] = "354 go",
	[SMTP_EV_BODY_END] = "250 2.0.0 taken",
};

void
write_all(struct driver *d)
{
	struct slice out = smtp_server_output(d->s);
	must(buf_add(&d->out, out) == 0);
	smtp_server_written(d->s, out.n);
	if (smtp_server_tls_wanted(d->s))
		smtp_server_tls_started(d->s);
}

void
take_events(struct driver *d)
{
	struct smtp_event ev;
	while (smtp_server_event(d->s, &ev)) {
		d->seen[ev.type]++;
		if (ev.type == SMTP_EV_BODY)
			must(buf_add(&d->body, ev.data) == 0);
		if (ev.type == SMTP_EV_HELO || ev.type == SMTP_EV_AUTH ||
			ev.type == SMTP_EV_AUTH_DATA) {
			must(buf_add(&d->heard, ev.name) == 0);
			must(buf_add_text(&d->heard, ev.has_data ? "=" : "") == 0);
			must(buf_add(&d->heard, ev.data) == 0);
			must(buf_add_text(&d->heard, "|") == 0);
		}
		if (ev.type > SMTP_EV_BODY_END)
			continue;
		const char *text =
			d->replies[ev.type] != NULL ? d->replies[ev.type] : usual[ev.type];
		struct smtp_reply r = smtp_reply_of(text);
		smtp_server_reply(d->s, &r);
	}
}

void
give(struct driver *d, struct slice in)
{
	for (;;) {
		size_t taken = smtp_server_feed(d->s, in);
		in = slice_from(in, taken);
		take_events(d);
		if (in.n == 0 || d->seen[SMTP_EV_CLOSE] > 0)
			break;
		if (taken == 0)
			write_all(d);
	}
	write_all(d);
}

void
driver_init(struct driver *d, const struct smtp_server_limits *limits)
{
	*d = (struct driver){0};
	d->s = smtp_server_new(SLICE("mx.example"), limits, &offer);
	buf_init(&d->out, 1024 * 1024);
	buf_init(&d->body, 1024 * 1024);
	buf_init(&d->heard, 64 * 1024);
}

void
driver_greet(struct driver *d)
{
	take_events(d);
	write_all(d);
	buf_clear(&d->out);
}

void
driver_start(struct driver *d)
{
	driver_init(d, &smtp_server_limits_default);
	driver_greet(d);
}

void
driver_fini(struct driver *d)
{
	smtp_server_free(&d->s);
	buf_fini(&d->out);
	buf_fini(&d->body);
	buf_fini(&d->heard);
}

/* The codes of all replies since the last call, "250 503 "; each line is well formed (EXT-02).
 */
static struct slice
codes(struct driver *d, char *to)
{
	struct slice rest = buf_slice(&d->out);
	size_t n = 0;
	while (rest.n > 0) {
		struct slice line;
		assert_true(slice_cut(rest, '\n', &line, &rest));
		assert_true(line.n >= 5 && line.p[line.n - 1] == '\r');
		assert_true(line.p[3] == ' ' || line.p[3] == '-');
		if (line.p[3] == '-')
			continue;
		memcpy(to + n, line.p, 3);
		to[n + 3] = ' ';
		n += 4;
	}
	buf_clear(&d->out);
	return (struct slice){to, n};
}

void
expect_codes(struct driver *d, const char *want)
{
	char got[4096];
	struct slice c = codes(d, got);
	if (!slice_eq(c, slice_of(want)))
		fail_msg("got %.*s, wanted %s", SLICE_ARG(c), want);
}

void
exchange(struct driver *d, const char *in, const char *want)
{
	give(d, slice_of(in));
	expect_codes(d, want);
}
