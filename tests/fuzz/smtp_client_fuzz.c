/*
 * The client machine against a remote that says anything. The first two bytes choose what is
 * sent and how the input is cut; the rest is what the remote says. Whatever it is: every mail
 * is settled once, and what we write has no bare CR or LF.
 */
#include <stdint.h>

#include "base/arena.h"
#include "base/must.h"
#include "smtp/client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
drain(struct smtp_client *c)
{
	for (;;) {
		struct slice out = smtp_client_output(c);
		if (smtp_client_wants_body(c) > 0) {
			smtp_client_body(c, SLICE(".a\r\n"));
			smtp_client_body_end(c);
		} else if (out.n > 0) {
			must(out.p[out.n - 1] == '\n');
			for (size_t i = 0; i < out.n; i++)
				must(out.p[i] != '\n' || (i > 0 && out.p[i - 1] == '\r'));
			smtp_client_written(c, out.n);
		} else if (smtp_client_phase(c) == SMTP_CL_TLS) {
			smtp_client_tls_started(c);
		} else {
			return;
		}
	}
}

static struct address
address_of(const char *text)
{
	return (struct address){.text = slice_of(text), .raw = slice_of(text)};
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size < 2)
		return 0;
	unsigned how = data[0], step = data[1] + 1u;
	struct slice said = {(const char *)data + 2, size - 2};
	struct arena *a = arena_new((size_t)256 * 1024);
	struct smtp_client_rcpt rcpts[3] = {{.address = address_of("r1@example.org")},
		{.address = address_of("r2@example.org")},
		{.address = address_of("r3@example.org")}};
	struct smtp_client_mail m = {.sender = address_of("s@example.org"),
		.rcpts = rcpts,
		.n_rcpts = 1 + how % 3,
		.all_or_none = (how & 4) != 0,
		.arena = a,
		.params = {.size = 1000, .smtputf8 = (how & 8) != 0}};
	struct smtp_client_config config = {.hostname = SLICE("gate.example"),
		.lmtp = (how & 16) != 0,
		.tls = (enum smtp_client_tls)(how >> 6)};
	if ((how & 32) != 0)
		config.user = config.password = SLICE("secret");
	struct smtp_client *c = smtp_client_new(&config);
	unsigned sent = 0, settled = 0;
	while (said.n > 0) {
		struct slice piece = slice_first(said, step);
		said = slice_from(said, piece.n);
		drain(c);
		must(smtp_client_feed(c, piece) == piece.n);
		drain(c);
		settled += smtp_client_done(c);
		if (smtp_client_phase(c) == SMTP_CL_READY && sent < 4 && sent == settled) {
			smtp_client_send(c, &m);
			sent++;
		}
	}
	smtp_client_lost(c, "the end");
	settled += smtp_client_done(c);
	must(settled == sent);
	smtp_client_free(&c);
	arena_free(&a);
	return 0;
}
