/*
 * Evidence in the links. Each host is looked at once; what names a registrable domain asks the
 * Public Suffix List, and only of the first HOSTS_MOST hosts, since a mail may have many.
 */
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

enum { HOSTS_MOST = 24, LONG_LABEL = 20 };

struct host {
	struct slice name, org;
	bool registered; /* org is a registrable domain, not the name for want of one */
};

static bool
has(struct slice text, const char *what)
{
	return spam_where(text, slice_of(what)) < text.n;
}

static bool
has_any(struct slice text, const char *const *what, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (has(text, what[i]))
			return true;
	return false;
}
#define HAS_ANY(text, list) has_any(text, list, sizeof(list) / sizeof((list)[0]))

static void
by_flags(struct spam_gather *g, const struct spam_link *l)
{
	static const struct {
		unsigned flag;
		enum spam_evidence_id id;
	} rows[] = {{SPAM_LINK_IP, SPAM_URL_IP}, {SPAM_LINK_USERINFO, SPAM_URL_USERINFO},
		{SPAM_LINK_PORT, SPAM_URL_PORT}, {SPAM_LINK_IDN, SPAM_URL_IDN},
		{SPAM_LINK_ESCAPED, SPAM_URL_ESCAPED}, {SPAM_LINK_OTHER, SPAM_URL_OTHER}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if ((l->flags & rows[i].flag) != 0)
			spam_find(g, rows[i].id, l->host);
}

/* A great site that sends whoever comes on to where the path says. */
static bool
redirects(const struct spam_link *l, struct slice org)
{
	static const struct {
		const char *org, *path;
	} rows[] = {{"google.", "/url?"}, {"google.", "/amp/"}, {"google.", "/travel/clk"},
		{"bing.com", "/ck/a"}, {"youtube.com", "/redirect"}, {"linkedin.com", "/slink"},
		{"linkedin.com", "/redir"}, {"doubleclick.net", "/"},
		{"googleadservices.com", "/"}, {"baidu.com", "/link?"},
		{"facebook.com", "/l.php"}, {"vk.com", "/away"}, {"medium.com", "/r/?url"},
		{"awstrack.me", "/"}, {"t.me", "/iv?"}};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (slice_starts(org, slice_of(rows[i].org)) && has(l->path, rows[i].path))
			return !(slice_eq(org, SLICE("awstrack.me")) && !has(l->path, "/l0/"));
	return false;
}

static void
by_path(struct spam_gather *g, const struct spam_link *l, struct slice org)
{
	static const char *const login[] = {"login", "log-in", "signin", "sign-in", "logon",
		"verify", "verif", "secure", "webmail", "password", "webscr", "authenticate",
		"/owa", "wallet", "confirm-", "validate", "recovery"};
	static const char *const innards[] = {"/wp-includes/", "/wp-admin/",
		"/wp-content/plugins/", "/wp-content/themes/", "/.well-known/", "/cgi-bin/.",
		"/wp-content/uploads/index", "/components/com_", "/modules/mod_",
		"/administrator/", "/.tmb/", "/vendor/phpunit"};
	if (HAS_ANY(l->path, innards))
		spam_find(g, SPAM_URL_INNARDS, l->host);
	/* newsletters have a log-in as well; here one is talked about */
	bool about = g->found[SPAM_WORDS_ACCOUNT] || g->found[SPAM_WORDS_SIGN_IN] ||
		     g->found[SPAM_WORDS_PASSWORD] || g->found[SPAM_WORDS_MAILBOX] ||
		     g->found[SPAM_WORDS_CRYPTO] || g->found[SPAM_WORDS_DOCUMENT];
	if (about && !slice_eq(org, g->from.org) && !g->list && HAS_ANY(l->path, login))
		spam_find(g, SPAM_URL_LOGIN, l->host);
	if (redirects(l, org))
		spam_find(g, SPAM_URL_REDIRECT, l->host);
	size_t hash = slice_find(l->path, '#');
	struct slice fragment = slice_from(l->path, hash + (hash < l->path.n));
	struct slice to = g->field[SPAM_F_TO];
	size_t open = slice_find_last(to, '<');
	if (open < to.n)
		slice_cut(slice_from(to, open + 1), '>', &to, &(struct slice){0});
	if (to.n >= 6 && fragment.n >= to.n && slice_has(to, '@') &&
		spam_where(fragment, arena_lower(g->a, slice_first(to, 254))) < fragment.n)
		spam_find(g, SPAM_URL_RECIPIENT, l->host);
}

static bool
diced_host(struct slice host, struct slice org)
{
	struct slice label;
	for (struct slice rest = host; rest.n > org.n;) {
		slice_cut(rest, '.', &label, &rest);
		if (label.n >= LONG_LABEL && spam_diced(label))
			return true;
	}
	slice_cut(org, '.', &label, &(struct slice){0});
	return spam_diced(label);
}

static void
by_host(struct spam_gather *g, const struct host *h)
{
	if (spam_shortener(h->name, h->org))
		spam_find(g, SPAM_URL_SHORT, h->name);
	if (spam_storage(h->name))
		spam_find_part(g, SPAM_URL_STORAGE, g->list ? 0.2 : 1, h->name);
	else if (spam_hosting(h->name))
		spam_find_part(g, SPAM_URL_HOSTED, g->list ? 0.2 : 1, h->name);
	if (spam_bad_tld(h->name))
		spam_find(g, SPAM_URL_TLD, h->name);
	if (diced_host(h->name, h->org))
		spam_find(g, SPAM_URL_RANDOM, h->name);
	if (spam_brand_in_host(h->name, h->org).n != 0 && !spam_is_own(g->w, h->name))
		spam_find(g, SPAM_URL_BRAND, h->name);
	struct slice which;
	double alike = spam_alike_below(h->name, h->registered ? h->org : SLICE_NONE,
		g->w->own_domains, g->w->n_own_domains, &which);
	if (alike > 0)
		spam_find_part(g, SPAM_URL_LOOKALIKE, alike, h->name);
}

/* The host's place among those seen; NULL: there are too many. */
static const struct host *
note(struct host *hosts, size_t *n, struct slice name, bool *new_out)
{
	*new_out = false;
	for (size_t i = 0; i < *n; i++)
		if (slice_eq(hosts[i].name, name))
			return &hosts[i];
	if (*n == HOSTS_MOST)
		return NULL;
	struct slice org = psl_registrable(name);
	hosts[*n] = (struct host){name, org.n != 0 ? org : name, org.n != 0};
	*new_out = true;
	return &hosts[(*n)++];
}

void
spam_gather_links(struct spam_gather *g)
{
	struct host hosts[HOSTS_MOST];
	struct slice image = SLICE_NONE;
	size_t n = 0;
	for (size_t i = 0; i < g->v->n_links; i++) {
		const struct spam_link *l = &g->v->links[i];
		if ((l->flags & SPAM_LINK_IMAGE) != 0) {
			if ((l->flags & SPAM_LINK_IP) != 0)
				image = l->host;
			continue;
		}
		by_flags(g, l);
		if ((l->flags & SPAM_LINK_IP) != 0)
			continue;
		bool new;
		const struct host *h = note(hosts, &n, l->host, &new);
		if (h == NULL)
			continue;
		by_path(g, l, h->org);
		if (new)
			by_host(g, h);
	}
	if (image.n != 0) /* less than a link that is to be clicked, where there is none */
		spam_find_part(g, SPAM_URL_IP, 0.6, image);
}
