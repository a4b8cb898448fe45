/*
 * Keys of who is counted; see whom.h. What clients say of themselves is bounded by the parsers
 * of addresses, accounts are cut.
 */
#include "filters/whom.h"

#include <inttypes.h>
#include <string.h>

#include "base/must.h"

enum { SECOND_MS = 1000, MINUTE_S = 60, HOUR_S = 3600, DAY_S = 86400, PREFIX6 = 64 };

struct slice
whom_network(const struct ip *client, unsigned prefix4, struct arena *a)
{
	struct ip net = *client;
	char text[IP_TEXT_BYTES];
	unsigned prefix = net.family == 4 ? prefix4 : PREFIX6;
	if (net.family == 0)
		return SLICE("local");
	for (unsigned bit = prefix; bit < (net.family == 4 ? 32u : 128u); bit++)
		net.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	struct slice address = ip_text(&net, text);
	if (net.family == 4 && prefix == 32)
		return arena_slice(a, address);
	return arena_printf(a, "%.*s/%u", SLICE_ARG(address), prefix);
}

/* Only our own domains say what a detail is; elsewhere another address may be anybody. */
static struct slice
mailbox(const struct flt_call *c, const struct address *who, struct arena *a)
{
	struct slice local = who->local;
	const struct conf_domain *own = conf_domain_find(c->conf, who->domain);
	size_t plus = slice_find(local, '+');
	if (own != NULL && !own->detail_significant && plus != 0)
		local = slice_first(local, plus);
	return arena_lower(
		a, arena_printf(a, "%.*s@%.*s", SLICE_ARG(local), SLICE_ARG(who->domain)));
}

static struct slice
key_of(const char *what, struct slice who, struct arena *a)
{
	return slice_first(arena_printf(a, "%s %.*s", what, SLICE_ARG(who)), WHOM_MOST);
}

struct slice
whom_counted(struct flt_call *c, enum limit_key key)
{
	struct arena *a = c->arena;
	const struct address *sender = &c->mail->sender;
	bool of_sender = key == LIMIT_SENDER || key == LIMIT_SENDER_DOMAIN;
	if (of_sender && sender->is_null)
		key = LIMIT_CLIENT;
	switch (key) {
	case LIMIT_USER:
		return c->session->user.n == 0 ? SLICE_NONE
					       : key_of("user", c->session->user, a);
	case LIMIT_CLIENT: return key_of("client", whom_network(&c->session->client, 32, a), a);
	case LIMIT_SENDER: return key_of("sender", mailbox(c, sender, a), a);
	case LIMIT_SENDER_DOMAIN: return key_of("sender.domain", sender->domain, a);
	case LIMIT_RECIPIENT:
		return key_of("recipient", mailbox(c, &c->recipient->address, a), a);
	case LIMIT_RECIPIENT_DOMAIN:
		return key_of("recipient.domain", c->recipient->address.domain, a);
	case LIMIT_KEYS: break;
	}
	must(false && "a key of limits");
	return SLICE_NONE;
}

struct slice
whom_again(uint64_t wait_ms, struct arena *a)
{
	static const struct {
		const char *word;
		uint64_t seconds, below; /* the unit where it is less than so much */
	} units[] = {
		{"second", 1, 2 * MINUTE_S},
		{"minute", MINUTE_S, 2 * HOUR_S},
		{"hour", HOUR_S, 2 * DAY_S},
		{"day", DAY_S, UINT64_MAX},
	};
	uint64_t s = wait_ms / SECOND_MS + (wait_ms % SECOND_MS != 0);
	size_t i = 0;
	if (s == 0)
		s = 1;
	while (s >= units[i].below)
		i++;
	uint64_t n = s / units[i].seconds + (s % units[i].seconds != 0);
	return arena_printf(a, "in %" PRIu64 " %s%s", n, units[i].word, n == 1 ? "" : "s");
}
