/*
 * Words, units and signs of other systems; see habits.h. Looked at only when an error is
 * reported. A word that is not here gets the plain message: guesses that are wrong cost more
 * than none.
 */
#include "conf/habits.h"

#include <stdio.h>
#include <string.h>

#include "base/ip.h"

#define NETWORKS                                                                               \
	"networks that may send stand in listen outbound on \"ADDRESS:25\" from { 10.0.0.0/8 " \
	"}"
#define DOMAINS "each domain has a statement: domain \"example.com\" deliver to \"10.0.0.5:25\""
#define RULES   "rules stand in inbound { ... } and outbound { ... }"
#define FIRST   "the action stands in front: reject if virus"
#define FILES   "listen ... tls optional certificate \"FILE\" key \"FILE\""

static const struct {
	const char *word, *write;
} words[] = {
	/* actions */
	{"deny", "write \"reject\""},
	{"block", "write \"reject\""},
	{"refuse", "write \"reject\""},
	{"bounce", "write \"reject\": the sender's server tells the sender"},
	{"drop", "write \"reject\", or \"discard\" to lose the mail without a word"},
	{"delete", "write \"discard\""},
	{"pass", "write \"accept\""},
	{"permit", "write \"accept\""},
	{"allow", "write \"accept\""},
	{"ok", "write \"accept\""},
	{"tempfail", "write \"defer\""},
	{"softreject", "write \"defer\""},
	{"greylist", "write \"defer if greylisted\""},
	{"add", "write tag \"Name: value\""},
	{"header", "write tag \"Name: value\", or remove header \"Name\""},
	{"add_header", "write tag \"Name: value\""},
	{"prepend", "write tag \"Name: value\""},
	{"rewrite", "write tag \"Name: value\": it takes the place of what came"},
	{"forward", "write redirect to \"user@example.com\""},
	{"bcc", "write copy to \"user@example.com\""},
	{"if", FIRST " (a rule goes on in the next line behind a \\)"},
	{"when", FIRST},
	{"match", FIRST},
	{"else", "rules are read from the top: the next one is the else"},
	{"warn_if_reject", "write \"try\" in front of the rule"},
	{"permit_mynetworks", NETWORKS},
	{"permit_sasl_authenticated",
		"accounts stand in listen outbound ... tls required auth \"FILE\""},
	{"reject_unauth_destination", "nobody relays by accident: there is nothing to write"},
	{"reject_rbl_client", "write reject if client in dnsbl \"zone.example\""},
	{"reject_unverified_recipient",
		"write reject if recipient is not known, and domain ... recipients verify"},
	{"reject_unlisted_recipient", "write reject if recipient is not known"},
	{"reject_unknown_client_hostname", "write reject if client.name is \"\""},
	{"check_policy_service", "the rules are the policy service"},
	/* statements */
	{"mynetworks", NETWORKS},
	{"mydestination", DOMAINS},
	{"relay_domains", DOMAINS},
	{"virtual_mailbox_domains", DOMAINS},
	{"transport_maps", DOMAINS},
	{"myhostname", "write hostname \"mx.example.com\""},
	{"relayhost", "write send smarthost \"relay.example:587\""},
	{"message_size_limit", "write limits { mail size 25M }"},
	{"smtpd_recipient_limit", "write limits { recipients 1000 }"},
	{"smtpd_client_connection_count_limit", "write limits { per client 20 }"},
	{"maximal_queue_lifetime", "write queue { lifetime 5d }"},
	{"smtpd_tls_cert_file", "write " FILES},
	{"smtpd_tls_key_file", "write " FILES},
	{"pki", "write " FILES},
	{"smtpd_milters", "a milter is asked by an MTA: listen milter makes us one"},
	{"smtpd_recipient_restrictions", RULES},
	{"smtpd_client_restrictions", RULES},
	{"smtpd_sender_restrictions", RULES},
	{"smtpd_data_restrictions", RULES},
	{"always_bcc", "write journal to \"archive@example.com\", a statement of its own"},
	{"journal", "write journal to \"archive@example.com\", a statement of its own"},
	{"disclaimer", "write append text \"...\""},
	{"observe", "write mode observe"},
	{"dry", "write mode observe"},
	{"soft", "write mode soft"},
	{"soft_bounce", "write mode soft"},
	{"reject", RULES},
	{"accept", RULES},
	{"defer", RULES},
	{"tag", RULES},
	{"try", RULES},
	/* behind `listen` and `domain` */
	{"port", "the port stands behind the address, \"10.0.0.5:25\""},
	{"relay", "write deliver to \"10.0.0.5:25\""},
	{"key", "a key stands behind its certificate, certificate \"FILE\" key \"FILE\""},
	{"starttls", "write \"tls optional\", or \"tls required\""},
	{"smtps", "write \"tls implicit\""},
};

struct slice
habit_of_word(struct slice word, struct arena *a)
{
	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (slice_eq_nocase(word, slice_of(words[i].word)))
			return arena_printf(a, ": %s", words[i].write);
	return SLICE("");
}

struct slice
habit_of_fact(struct slice word, struct arena *a)
{
	static const struct {
		const char *word, *write;
	} facts[] = {
		{"rcpt", "recipient"},
		{"rcpt_to", "recipient"},
		{"to", "recipient"},
		{"mail_from", "sender"},
		{"mailfrom", "sender"},
		{"envelope_from", "sender"},
		{"return-path", "sender"},
		{"sasl_username", "user"},
		{"authenticated", "user is not \"\""},
		{"auth", "user is not \"\""},
		{"client_address", "client"},
		{"source", "client"},
		{"src", "client"},
		{"ip", "client"},
		{"rdns", "client.name"},
		{"client_name", "client.name"},
		{"ehlo", "helo"},
		{"rbl", "client in dnsbl \"zone.example\""},
		{"malware", "virus"},
		{"message_size", "size"},
		{"encrypted_connection", "tls"},
	};
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++)
		if (slice_eq_nocase(word, slice_of(facts[i].word)))
			return arena_printf(a, " (write %s)", facts[i].write);
	if (slice_starts_nocase(word, SLICE("header.")))
		return arena_printf(
			a, " (write header \"%.*s\")", SLICE_ARG(slice_from(word, 7)));
	return SLICE("");
}

/* --- numbers */

struct slice
habit_of_number(struct slice s, struct arena *a)
{
	static const struct {
		const char *unit, *ours;
	} units[] = {
		{"B", ""},
		{"k", "K"},
		{"KB", "K"},
		{"KiB", "K"},
		{"MB", "M"},
		{"MiB", "M"},
		{"GB", "G"},
		{"GiB", "G"},
		{"sec", "s"},
		{"secs", "s"},
		{"seconds", "s"},
		{"min", "m"},
		{"mins", "m"},
		{"minutes", "m"},
		{"hour", "h"},
		{"hours", "h"},
		{"day", "d"},
		{"days", "d"},
		{"/s", "/second"},
		{"/sec", "/second"},
		{"/min", "/minute"},
		{"/m", "/minute"},
		{"/minutes", "/minute"},
		{"/h", "/hour"},
		{"/hours", "/hour"},
		{"/d", "/day"},
		{"/days", "/day"},
		{"/1h", "/hour"},
		{"/24h", "/day"},
	};
	size_t digits = 0;
	while (digits < s.n && ascii_digit(s.p[digits]))
		digits++;
	struct slice number = slice_first(s, digits), unit = slice_from(s, digits);
	if (digits != 0 &&
		(slice_eq_nocase(unit, SLICE("w")) || slice_eq_nocase(unit, SLICE("weeks"))))
		return SLICE(" (write weeks as days, 7d)");
	for (size_t i = 0; digits != 0 && i < sizeof(units) / sizeof(units[0]); i++)
		if (slice_eq_nocase(unit, slice_of(units[i].unit)))
			return arena_printf(
				a, " (write %.*s%s)", SLICE_ARG(number), units[i].ours);
	return SLICE("");
}

/* --- networks */

bool
habit_is_net(struct slice s)
{
	struct slice address, prefix;
	bool colon = slice_has(s, ':');
	if (!slice_cut(s, '/', &address, &prefix) || !(slice_has(address, '.') || colon))
		return false;
	for (size_t i = 0; i < address.n; i++)
		if (!ascii_digit(address.p[i]) && address.p[i] != '.' && !colon)
			return false;
	return true;
}

/* The address with all bits behind the prefix 0. */
static struct slice
masked(struct ip ip, unsigned prefix, struct arena *a)
{
	char text[IP_TEXT_BYTES];
	unsigned bits = ip.family == 4 ? 32 : 128;
	for (unsigned bit = prefix; bit < bits; bit++)
		ip.bytes[bit / 8] &= (uint8_t) ~(0x80u >> bit % 8);
	struct slice net = ip_text(&ip, text);
	return arena_printf(a, ": the network is %.*s/%u", SLICE_ARG(net), prefix);
}

struct slice
habit_of_net(struct slice s, struct arena *a)
{
	struct slice address, prefix;
	struct ip ip;
	uint64_t bits;
	bool cut = slice_cut(s, '/', &address, &prefix);
	if (!cut || !ip_parse(address, &ip))
		return SLICE(", as in 10.0.0.0/8 or 2001:db8::/32");
	if (slice_has(prefix, '.'))
		return SLICE(": the bits of the network stand behind the /, as in 10.0.0.0/8");
	if (!slice_u64(prefix, &bits) || bits > (ip.family == 4 ? 32 : 128))
		return arena_printf(a, ": an IPv%u prefix is 0 to %u", ip.family,
			ip.family == 4 ? 32 : 128);
	return masked(ip, (unsigned)bits, a);
}

/* --- signs */

const char *
habit_of_sign(struct slice at, size_t *n_out)
{
	static const struct {
		const char *sign, *write;
	} signs[] = {
		{"==", " (equality is `is`)"},
		{"!=", " (write `is not`)"},
		{"<>", " (write `is not`; the empty sender is \"<>\")"},
		{"=~", " (write `matches`)"},
		{"&&", " (write `and`)"},
		{"||", " (write `or`)"},
		{"=", " (equality is `is`; a setting's value stands right behind its name)"},
		{"!", " (write `not`)"},
		{"&", " (write `and`)"},
		{"|", " (write `or`)"},
		{"'", " (strings stand in double quotes)"},
		{"`", " (strings stand in double quotes)"},
		{";", " (a statement ends with its line)"},
		{"[", " (sets stand in { })"},
		{"]", " (sets stand in { })"},
		{"$", " (there are no variables: a list with a name is a table)"},
	};
	for (size_t i = 0; i < sizeof(signs) / sizeof(signs[0]); i++) {
		struct slice sign = slice_of(signs[i].sign);
		if (!slice_starts(at, sign))
			continue;
		*n_out = sign.n;
		return signs[i].write;
	}
	*n_out = 1;
	return "";
}
