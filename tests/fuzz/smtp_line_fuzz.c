/*
 * The server machine under any bytes. The first byte says how the rest is cut and what the
 * driver answers. Checked: replies are lines with code and CRLF, each MAIL has one RESET, and a
 * mail that is handed on whole is clean (SRV-01, SRV-04, EXT-02).
 */
#include <string.h>

#include "base/buf.h"
#include "base/must.h"
#include "smtp/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct smtp_offer offer = {.tls = true,
	.smtputf8 = true,
	.dsn = true,
	.eightbit = true,
	.size = 10000,
	.auth = "PLAIN",
	.xclient = XCLIENT_ALL,
	.xforward = XFORWARD_ALL};

static const char *const answers[][2] = {
	[SMTP_EV_CONNECT] = {"220 mx.example", "554 5.7.1 no"},
	[SMTP_EV_HELO] = {"250 hello", "550 5.7.1 no"},
	[SMTP_EV_STARTTLS] = {"220 2.0.0 go", "454 4.7.0 no"},
	[SMTP_EV_AUTH] = {"235 2.7.0 ok", "334 eA=="},
	[SMTP_EV_AUTH_DATA] = {"235 2.7.0 ok", "535 5.7.8 no"},
	[SMTP_EV_XCLIENT] = {"220 mx.example", "550 5.7.1 no"},
	[SMTP_EV_XFORWARD] = {"250 2.0.0 ok", "451 4.3.0 no"},
	[SMTP_EV_MAIL] = {"250 2.1.0 ok", "451 4.3.0 no"},
	[SMTP_EV_RCPT] = {"250 2.1.5 ok", "550 5.1.1 no"},
	[SMTP_EV_DATA] = {"354 go", "451 4.3.0 no"},
	[SMTP_EV_BODY_END] = {"250 2.0.0 ok", "550 5.7.1 no"},
};

struct run {
	struct smtp_server *s;
	uint8_t choice;
	unsigned answered, mails, resets;
	bool closed;
	struct buf body;
};

static void
check_body(struct run *r)
{
	struct slice b = buf_slice(&r->body);
	must(!slice_has(b, '\0'));
	for (size_t i = 0; i < b.n; i++) {
		must(b.p[i] != '\n' || (i > 0 && b.p[i - 1] == '\r'));
		must(b.p[i] != '\r' || (i + 1 < b.n && b.p[i + 1] == '\n'));
	}
	must(b.n == 0 || b.p[b.n - 1] == '\n');
}

static void
take_events(struct run *r)
{
	struct smtp_event ev;
	while (smtp_server_event(r->s, &ev)) {
		r->mails += ev.type == SMTP_EV_MAIL;
		r->resets += ev.type == SMTP_EV_RESET;
		must(r->mails - r->resets <= 1);
		r->closed |= ev.type == SMTP_EV_CLOSE;
		if (ev.type == SMTP_EV_BODY)
			must(buf_add(&r->body, ev.data) == 0);
		if (ev.type == SMTP_EV_BODY_END)
			check_body(r);
		if (ev.type == SMTP_EV_RESET)
			buf_clear(&r->body);
		if (ev.type > SMTP_EV_BODY_END)
			continue;
		bool no = (r->choice >> (r->answered++ % 8) & 1) != 0;
		struct smtp_reply reply = smtp_reply_of(answers[ev.type][no]);
		smtp_server_reply(r->s, &reply);
	}
}

static void
write_output(struct run *r)
{
	struct slice out = smtp_server_output(r->s), rest = out, line;
	while (rest.n > 0) {
		must(slice_cut(rest, '\n', &line, &rest));
		must(line.n >= 5 && line.p[line.n - 1] == '\r' && line.p[0] >= '2');
		must(line.p[0] <= '5' && (line.p[3] == ' ' || line.p[3] == '-'));
		must(line.p[0] == '2' || line.p[0] == '3' || slice_has(line, '.'));
		must(!slice_has(slice_first(line, line.n - 1), '\r'));
	}
	smtp_server_written(r->s, out.n);
	if (smtp_server_tls_wanted(r->s))
		smtp_server_tls_started(r->s);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct run r = {.choice = size > 0 ? data[0] : 0};
	struct slice in = {(const char *)data + (size > 0), size > 0 ? size - 1 : 0};
	size_t piece = 1 + (r.choice & 31u) * (r.choice & 31u);
	r.s = smtp_server_new(SLICE("mx.example"), &smtp_server_limits_default, &offer);
	buf_init(&r.body, size + 1);
	r.choice >>= 4; /* most say yes */
	take_events(&r);
	write_output(&r);
	while (in.n > 0 && !r.closed) {
		size_t taken = smtp_server_feed(r.s, slice_first(in, piece));
		take_events(&r);
		write_output(&r);
		in = slice_from(in, taken);
	}
	struct smtp_reply bye = smtp_reply_of("421 4.3.2 bye");
	smtp_server_close(r.s, &bye);
	take_events(&r);
	write_output(&r);
	must(r.closed && r.mails == r.resets);
	smtp_server_free(&r.s);
	buf_fini(&r.body);
	return 0;
}
