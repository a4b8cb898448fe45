/*
 * XCLIENT and XFORWARD under any bytes (EXT-09): what was understood is bounded, has no byte
 * that a header may not hold, and is understood the same when it is written again.
 */
#include <string.h>

#include "base/must.h"
#include "smtp/xclient.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_word(const struct xclient_word *w)
{
	for (size_t i = 0; i < w->n; i++)
		must(w->text[i] > ' ' && w->text[i] <= '~');
}

static bool
same_word(const struct xclient *a, const struct xclient *b, unsigned bit,
	const struct xclient_word *x, const struct xclient_word *y)
{
	return (a->known & b->known & bit) == 0 || slice_eq(xclient_slice(x), xclient_slice(y));
}

/* In two lines, as a line has at most three words. */
static void
read_back(const struct xclient *x, bool forward)
{
	const unsigned lines[] = {XCLIENT_NAME | XCLIENT_ADDR | XCLIENT_PROTO | XCLIENT_HELO,
		XCLIENT_PORT | XCLIENT_LOGIN | XCLIENT_DESTADDR | XCLIENT_DESTPORT |
			XCLIENT_IDENT | XCLIENT_SOURCE};
	struct xclient again = {0};
	for (size_t i = 0; i < 2; i++) {
		struct xclient part;
		struct buf b;
		buf_init(&b, XCLIENT_LINE_MOST);
		if (xclient_write(x, "", lines[i], &b)) {
			must(xclient_parse(buf_slice(&b), forward, &part) == NULL);
			xclient_add(&again, &part);
		}
		buf_fini(&b);
	}
	must(again.given == x->given);
	must((again.known & ~x->known) == 0); /* a name may be "[UNAVAILABLE]" when decoded */
	must(same_word(x, &again, XCLIENT_NAME, &x->name, &again.name));
	must(same_word(x, &again, XCLIENT_HELO, &x->helo, &again.helo));
	must(same_word(x, &again, XCLIENT_LOGIN, &x->login, &again.login));
	must(same_word(x, &again, XCLIENT_IDENT, &x->ident, &again.ident));
	must((x->known & XCLIENT_ADDR) == 0 || ip_eq(&x->addr, &again.addr));
	must(x->port == again.port && x->dest_port == again.dest_port);
	must(x->esmtp == again.esmtp && x->local == again.local);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct xclient x;
	bool forward = size > 0 && (data[0] & 1) != 0;
	struct slice in = {(const char *)data + (size > 0), size > 0 ? size - 1 : 0};
	const char *why = xclient_parse(in, forward, &x);
	(void)xclient_names(in);
	must((x.known & ~x.given) == 0 || why != NULL);
	if (why != NULL) {
		must(memcmp(why, "501 5.5.4 ", 10) == 0);
		return 0;
	}
	check_word(&x.name);
	check_word(&x.helo);
	check_word(&x.login);
	check_word(&x.ident);
	read_back(&x, forward);
	return 0;
}
