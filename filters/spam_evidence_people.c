/*
 * Evidence in who the mail says it is from. Names are read as a reader's program shows them and
 * not by the grammar: what deceives is often what does not parse. For look-alikes of our
 * domains see spam_alike.c, for brands and providers spam_names.c.
 */
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

enum { NAME_MOST = 200, VALUE_MOST = 1000, DIGITS_LEAST = 4 };

static struct slice
unquoted(struct slice s)
{
	for (;;) {
		s = slice_trim(s);
		if (s.n > 0 && (s.p[0] == '"' || s.p[0] == '\'' || s.p[0] == ','))
			s = slice_from(s, 1);
		else if (s.n > 0 &&
			 (s.p[s.n - 1] == '"' || s.p[s.n - 1] == '\'' || s.p[s.n - 1] == ','))
			s.n--;
		else
			return s;
	}
}

void
spam_person_read(struct spam_gather *g, struct slice value, struct spam_person *person_out)
{
	*person_out = (struct spam_person){0};
	value = slice_first(value, VALUE_MOST);
	struct slice address = value, name = SLICE_NONE;
	size_t open = slice_find_last(value, '<');
	if (open < value.n) {
		name = slice_first(value, open);
		slice_cut(slice_from(value, open + 1), '>', &address, &(struct slice){0});
	} else if ((open = slice_find(value, '(')) < value.n) {
		address = slice_first(value, open);
		slice_cut(slice_from(value, open + 1), ')', &name, &(struct slice){0});
	}
	address = unquoted(address);
	name = unquoted(message_decode_words(unquoted(name), g->a));
	person_out->name = slice_first(name, NAME_MOST);
	size_t at = slice_find_last(address, '@');
	if (at == address.n)
		return;
	person_out->local = slice_first(address, at);
	struct slice host = slice_trim(slice_from(address, at + 1));
	if (host.n > 0 && host.p[host.n - 1] == '.')
		host.n--;
	person_out->host = arena_lower(g->a, slice_first(host, 253));
	struct slice org = psl_registrable(person_out->host);
	person_out->org = org.n != 0 ? org : person_out->host;
}

/* What looks like a domain in a text: letters, a dot, a suffix of letters. Behind '@' if at. */
static struct slice
domain_in(struct slice text, bool at)
{
	for (size_t i = 0; i < text.n; i++) {
		size_t start = i, dot = 0;
		while (i < text.n && (ascii_alpha(text.p[i]) || ascii_digit(text.p[i]) ||
					     text.p[i] == '-' || text.p[i] == '.')) {
			if (text.p[i] == '.' && i > start)
				dot = i;
			i++;
		}
		struct slice found = slice_first(slice_from(text, start), i - start);
		if (found.n > 0 && found.p[found.n - 1] == '.') {
			found.n--;
			dot = start + slice_find_last(found, '.');
		}
		bool behind = start > 0 && text.p[start - 1] == '@';
		if (dot > start && start + found.n >= dot + 3 && behind == at &&
			ascii_alpha(text.p[dot + 1]) && ascii_alpha(text.p[dot + 2]))
			return found;
	}
	return SLICE_NONE;
}

static bool
known_suffix(struct slice domain)
{
	static const char *const usual[] = {"com", "net", "org", "de", "fr", "uk", "br", "it",
		"es", "nl", "eu", "info", "io", "ru", "ch", "at", "be", "pl", "us", "ca", "gov",
		"edu", "biz", "co"};
	struct slice last = slice_from(domain, slice_find_last(domain, '.') + 1);
	for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
		if (slice_eq(last, slice_of(usual[i])))
			return true;
	return false;
}

static void
shown_domains(struct spam_gather *g, struct slice name)
{
	struct slice domain = domain_in(name, true);
	if (domain.n != 0 && !psl_same(domain, g->from.host)) {
		if (spam_is_own(g->w, domain))
			spam_find(g, SPAM_FROM_NAME_OURS, domain);
		spam_find(g, SPAM_FROM_NAME_ADDRESS, domain);
		return;
	}
	domain = domain_in(name, false);
	if (domain.n == 0 || psl_same(domain, g->from.host))
		return;
	if (spam_is_own(g->w, domain))
		spam_find(g, SPAM_FROM_NAME_OURS, domain);
	else if (known_suffix(domain) && psl_registrable(domain).n != 0)
		spam_find(g, SPAM_FROM_NAME_DOMAIN, domain);
}

static void
shown_name(struct spam_gather *g)
{
	struct slice name = arena_lower(g->a, g->from.name);
	if (name.n == 0)
		return;
	shown_domains(g, name);
	struct slice brand = g->list ? SLICE_NONE : spam_brand_named(name, g->from.org);
	if (brand.n != 0)
		spam_find(g, SPAM_FROM_NAME_BRAND, brand);
	static const char *const roles[] = {"support", "help desk", "helpdesk", "administrator",
		"admin", "it department", "security", "customer service", "customer care",
		"account team", "mail team", "service desk", "webmaster", "postmaster",
		"billing", "notification", "kundenservice", "service client", "suporte",
		"soporte"};
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (spam_free_mail(g->from.org) && !g->list &&
			slice_find_slice(name, slice_of(roles[i])) < name.n)
			spam_find(g, SPAM_FROM_NAME_ROLE, name);
	unsigned signs = 0;
	struct spam_disguises d = spam_disguised(name);
	if (d.by != 0)
		spam_find(g, SPAM_FROM_NAME_DISGUISE, SLICE_NONE);
	for (size_t i = 0; i < name.n; i++)
		signs += name.p[i] == '_' || name.p[i] == '*' || name.p[i] == '#' ||
			 name.p[i] == '!' || name.p[i] == '$';
	if (d.emoji >= 1 || signs >= 2)
		spam_find(g, SPAM_FROM_NAME_SHOUT, name);
	struct slice from = g->field[SPAM_F_FROM];
	if (spam_where(from, SLICE("=?")) < from.n && spam_all_ascii(name) &&
		!slice_starts(name, SLICE("=?")))
		spam_find(g, SPAM_FROM_NAME_ENCODED, name);
}

static void
author_domain(struct spam_gather *g)
{
	const struct spam_person *from = &g->from;
	struct slice brand = spam_brand_in_host(from->host, from->org);
	if (brand.n != 0 && !spam_is_own(g->w, from->host))
		spam_find(g, SPAM_FROM_BRAND_DOMAIN, from->host);
	if (spam_hosting(from->host))
		spam_find(g, SPAM_FROM_HOSTED, from->host);
	if (spam_bad_tld(from->host))
		spam_find(g, SPAM_FROM_TLD, from->host);
	if (spam_is_own(g->w, from->host) && g->w->aligned_known && !g->w->aligned && !g->list)
		spam_find(g, SPAM_FROM_OURS, from->host);
	struct slice label;
	slice_cut(from->org, '.', &label, &(struct slice){0});
	if (spam_diced(label))
		spam_find(g, SPAM_FROM_RANDOM, from->host);
	else if (spam_diced(from->local) && !g->list)
		spam_find(g, SPAM_FROM_RANDOM, from->local);
	size_t digits = 0;
	while (digits < from->local.n && ascii_digit(from->local.p[from->local.n - 1 - digits]))
		digits++;
	if (digits >= DIGITS_LEAST && digits < from->local.n)
		spam_find_part(
			g, SPAM_FROM_DIGITS, digits > DIGITS_LEAST ? 1 : 0.5, from->local);
}

static void
look_alike(struct spam_gather *g)
{
	struct slice sender = g->w->sender != NULL ? g->w->sender->domain : SLICE_NONE;
	const struct slice hosts[] = {g->from.host, g->reply.host, sender};
	for (size_t i = 0; i < sizeof(hosts) / sizeof(hosts[0]); i++) {
		struct slice which;
		double alike = hosts[i].n == 0 ? 0
					       : spam_alike(hosts[i], g->w->own_domains,
							 g->w->n_own_domains, &which);
		if (alike > 0)
			spam_find_part(g, SPAM_FROM_LOOKALIKE, alike, hosts[i]);
	}
}

static void
answers_to(struct spam_gather *g)
{
	const struct spam_person *from = &g->from, *reply = &g->reply;
	const struct address *sender = g->w->sender;
	if (!g->list && reply->host.n != 0 && from->host.n != 0) {
		bool same = slice_eq_nocase(reply->org, from->org);
		bool free = spam_free_mail(reply->org);
		if (free && !(same && slice_eq_nocase(reply->local, from->local)))
			spam_find(g, SPAM_REPLY_FREE, reply->host);
		else if (!same)
			spam_find(g, SPAM_REPLY_OTHER, reply->host);
	}
	if (sender != NULL && !sender->is_null && !g->list && from->host.n != 0 &&
		!(g->w->aligned_known && g->w->aligned) &&
		!psl_same(sender->domain, from->host))
		spam_find(g, SPAM_SENDER_OTHER, sender->domain);
}

void
spam_gather_people(struct spam_gather *g)
{
	if (g->from.host.n == 0)
		spam_find(g, SPAM_FROM_MISSING, g->field[SPAM_F_FROM]);
	else if ((g->v->message->faults &
			 (MESSAGE_FROM_BAD | MESSAGE_FROM_SEVERAL | MESSAGE_FROM_DOMAINS)) != 0)
		spam_find(g, SPAM_FROM_BAD, SLICE_NONE);
	shown_name(g);
	if (g->from.host.n != 0)
		author_domain(g);
	look_alike(g);
	answers_to(g);
}
