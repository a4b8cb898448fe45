/*
 * The items of a table: what each may be (name, suffix, network, wildcard, expression), where
 * it is kept, and how a value is held against all of them. Names, suffixes and networks are
 * found in a few steps however many there are; wildcards and expressions are tried one by one,
 * which is why there may only be so many.
 */
#include "conf/table_items.h"

#include "conf/regex_bound.h"

enum { ITEM_BYTES_MOST = 512, TRIED_MOST = 1000 };

#define FORMS "write \"name\", \"*.suffix\", \"name*\", /expression/, an address or a network"

/* Domains compare as A-labels; what is ASCII already needs no second look. */
static bool
is_ascii(struct slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if ((unsigned char)s.p[i] >= 0x80)
			return false;
	return true;
}

static bool
has_wildcard(struct slice s)
{
	return slice_has(s, '*') || slice_has(s, '?') || slice_has(s, '{');
}

static bool
too_many(const struct conf_table *t, struct err *err)
{
	if (t->n_globs + t->n_patterns < TRIED_MOST)
		return false;
	err_set(err,
		"a table has at most %d wildcards and expressions, since each is tried in "
		"turn: write names, \"*.suffix\" or networks, or join expressions with |",
		TRIED_MOST);
	return true;
}

static int
add_glob(struct parser *p, struct conf_table *t, struct slice item, struct err *err)
{
	const char *why;
	if (slice_eq(item, SLICE("*")))
		return err_set(err,
			"\"*\" has every value: leave the condition away, or write what the "
			"values begin or end with");
	if (!is_ascii(item))
		return err_set(err,
			"\"%.*s\" has a wildcard and is not ASCII: write the domain as A-label "
			"(\"xn--...\"), or an expression",
			SLICE_ARG(slice_first(item, 80)));
	if (too_many(t, err))
		return -1;
	struct glob *g = glob_compile(item, p->arena, &why);
	if (g == NULL)
		return err_set(err,
			"\"%.*s\" does not work: %s (a * ? or { that is meant as it is stands "
			"behind \\)",
			SLICE_ARG(slice_first(item, 80)), why);
	t->globs = parse_room(p, t->globs, t->n_globs, sizeof(struct glob *));
	t->globs[t->n_globs++] = g;
	return 0;
}

/* "10.0.0.1/8": a network by its looks, and none. */
static bool
is_broken_network(struct slice item)
{
	struct slice head, tail;
	struct ip ip;
	return slice_cut(item, '/', &head, &tail) && ip_parse(head, &ip);
}

static int
add_name(struct parser *p, struct conf_table *t, struct slice item, struct err *err)
{
	struct address address;
	bool suffix = slice_starts(item, SLICE("*."));
	struct slice key = suffix ? slice_from(item, 2) : item;
	bool ok = key.n != 0;
	if (ok && !is_ascii(key) && slice_has(key, '@')) {
		ok = address_parse(key, true, p->arena, &address) == ADDRESS_OK;
		key = address.text;
	} else if (ok && !is_ascii(key)) {
		ok = domain_to_ascii(key, p->arena, &key);
	}
	if (!ok)
		return err_set(err, "\"%.*s\" is no item of a table: " FORMS,
			SLICE_ARG(slice_first(item, 80)));
	map_put(suffix ? t->suffixes : t->exact, key, t);
	return 0;
}

static void
keep_item(struct parser *p, struct conf_table *t, struct slice item)
{
	t->items = parse_room(p, t->items, t->n_items, sizeof(item));
	t->items[t->n_items++] = item;
}

int
table_item(struct parser *p, struct table_building *b, struct slice item, struct err *err)
{
	struct conf_table *t = b->table;
	struct ip_net net;
	if (item.n == 0 || item.n > ITEM_BYTES_MOST)
		return err_set(
			err, "an item of a table has 1 to %d bytes: " FORMS, ITEM_BYTES_MOST);
	keep_item(p, t, item);
	if (ip_net_parse(item, &net)) {
		b->nets = parse_room(p, b->nets, t->n_nets, sizeof(net));
		b->nets[t->n_nets++] = net;
		return 0;
	}
	if (is_broken_network(item))
		return err_set(err,
			"\"%.*s\" is no network, as in 10.0.0.0/8: behind the prefix all bits "
			"are 0",
			SLICE_ARG(slice_first(item, 80)));
	struct slice name = slice_starts(item, SLICE("*.")) ? slice_from(item, 2) : item;
	return has_wildcard(name) ? add_glob(p, t, item, err) : add_name(p, t, item, err);
}

int
table_item_regex(struct parser *p, struct table_building *b, struct slice regex,
	struct slice flags, struct err *err)
{
	struct conf_table *t = b->table;
	char why[200];
	if (flags.n != 0 && !slice_eq(flags, SLICE("i")))
		return err_set(err,
			"the flag \"%.*s\" is not known: there is \"i\" (without case)",
			SLICE_ARG(slice_first(flags, 20)));
	if (regex.n > STRING_MOST)
		return err_set(err, "the expression is longer than %d bytes", STRING_MOST);
	if (too_many(t, err))
		return -1;
	struct pattern *one = pattern_compile(regex, flags.n != 0, p->arena, why, sizeof(why));
	if (one == NULL)
		return err_set(err, "the expression is wrong: %s", why);
	size_t at;
	const char *unbound = regex_bound(regex, flags.n != 0, &at);
	if (unbound != NULL)
		return err_set(err, "the expression, at byte %zu: %s", at + 1, unbound);
	keep_item(p, t, arena_printf(p->arena, "/%.*s/", SLICE_ARG(regex)));
	t->patterns = parse_room(p, t->patterns, t->n_patterns, sizeof(struct pattern *));
	t->patterns[t->n_patterns++] = one;
	return 0;
}

bool
table_item_line(struct slice line, struct slice *regex_out, struct slice *flags_out)
{
	size_t i = 1, flags;
	for (; i < line.n && line.p[i] != '/'; i++)
		if (line.p[i] == '\\')
			i++;
	if (i >= line.n)
		return false;
	*regex_out = slice_first(slice_from(line, 1), i - 1);
	for (flags = ++i; i < line.n && ascii_alpha(line.p[i]); i++)
		continue;
	*flags_out = slice_first(slice_from(line, flags), i - flags);
	struct slice rest = slice_trim(slice_from(line, i));
	return rest.n == 0 || rest.p[0] == '#';
}

void
table_items_done(struct parser *p, struct table_building *b)
{
	b->table->nets = ip_set_new(b->nets, b->table->n_nets, p->arena);
}

/* --- look-ups */

static bool
has_suffix(const struct conf_table *t, struct slice domain)
{
	if (map_count(t->suffixes) == 0)
		return false;
	struct slice label;
	while (slice_cut(domain, '.', &label, &domain))
		if (map_get(t->suffixes, domain) != NULL)
			return true;
	return false;
}

static bool
has_glob(const struct conf_table *t, struct slice value, struct slice domain)
{
	for (size_t i = 0; i < t->n_globs; i++)
		if (glob_match(t->globs[i], value) ||
			(domain.n != 0 && glob_match(t->globs[i], domain)))
			return true;
	return false;
}

/* domain: of an address; else empty. */
static bool
has_name(const struct conf_table *t, struct slice value, struct slice domain)
{
	if (map_get(t->exact, value) != NULL)
		return true;
	size_t at = slice_find_last(value, '@');
	if (at == value.n)
		return has_suffix(t, value);
	return map_get(t->exact, slice_first(value, at + 1)) != NULL ||
	       map_get(t->exact, slice_from(value, at)) != NULL ||
	       map_get(t->exact, domain) != NULL || has_suffix(t, domain);
}

enum pattern_result
conf_table_look(const struct conf_table *t, struct slice value, struct arena *scratch)
{
	struct ip ip;
	must(t->directory == NULL);
	if (value.n == 0 || value.n > ITEM_BYTES_MOST)
		return PATTERN_NO;
	size_t at = slice_find_last(value, '@');
	struct slice domain = at < value.n ? slice_from(value, at + 1) : SLICE_NONE;
	if (has_name(t, value, domain) || has_glob(t, value, domain))
		return PATTERN_YES;
	if (t->n_nets != 0 && ip_parse(value, &ip) && ip_set_has(t->nets, &ip, NULL))
		return PATTERN_YES;
	return pattern_match_any(t->patterns, t->n_patterns, value, scratch);
}

bool
conf_table_is_networks(const struct conf_table *t, struct slice *other_out)
{
	struct ip_net net;
	for (size_t i = 0; i < t->n_items; i++) {
		if (ip_net_parse(t->items[i], &net))
			continue;
		*other_out = t->items[i];
		return false;
	}
	return true;
}
