/*
 * What single attempts have shown, kept for the last so many destinations: when each was
 * reached, which machines have answered there since when, whether it had STARTTLS. Names are
 * told apart by hash; what is kept of their bytes is for people.
 */
#include <string.h>

#include "queue/egress_priv.h"

/* --- names */

/*
 * Large operators, each with machines of its own that all offer STARTTLS: several of them
 * behind one machine is against nature, though nothing has been seen of them before.
 */
static const char *const owners[] = {"gmail.com googlemail.com google.com",
	"outlook.com hotmail.com live.com msn.com", "yahoo.com ymail.com aol.com",
	"icloud.com me.com mac.com", "gmx.de gmx.net gmx.at gmx.ch web.de", "t-online.de",
	"mail.ru", "yandex.ru yandex.com", "qq.com", "163.com 126.com",
	"proton.me protonmail.com", "fastmail.com", "orange.fr", "free.fr", "libero.it",
	"naver.com", "seznam.cz"};

/* Its number, from 1; 0: none of them. */
static unsigned
owner_of(struct slice domain)
{
	for (unsigned i = 0; i < sizeof(owners) / sizeof(owners[0]); i++) {
		struct slice one, rest = slice_of(owners[i]);
		while (rest.n != 0) {
			slice_cut(rest, ' ', &one, &rest);
			if (slice_eq_nocase(one, domain))
				return i + 1;
		}
	}
	return 0;
}

/*
 * The name that an organisation has registered, about: its last two labels, three below a
 * short label of a country (co.uk, com.br). Where that is wrong, more are held for related,
 * and an alarm asks for more evidence.
 */
static struct slice
organisation(struct slice name)
{
	size_t at = name.n, labels = 0, want = 2, end = name.n, before = 0;
	while (at > 0 && labels < want) {
		at--;
		if (name.p[at] != '.' && at != 0)
			continue;
		size_t label = end - at - (name.p[at] == '.');
		labels++;
		if (labels == 1)
			before = label;
		else if (labels == 2 && before == 2 && label <= 3)
			want = 3;
		end = at;
	}
	return at == 0 && (name.n == 0 || name.p[0] != '.') ? name : slice_from(name, end + 1);
}

/* The machine in a banner: the organisation of the host name that it begins with; where it does
 * not begin with one (masked by asterisks), all of it but digits. */
static uint64_t
banner_face(struct slice banner)
{
	struct slice host, rest;
	banner = slice_trim(banner);
	slice_cut(banner, ' ', &host, &rest);
	bool is_name = slice_has(host, '.');
	for (size_t i = 0; i < host.n; i++)
		is_name = is_name && (ascii_alpha(host.p[i]) || ascii_digit(host.p[i]) ||
					     host.p[i] == '-' || host.p[i] == '.');
	if (is_name)
		return slice_hash_nocase(organisation(host));
	char text[128];
	size_t n = 0;
	for (size_t i = 0; i < banner.n && n < sizeof(text); i++)
		if (!ascii_digit(banner.p[i]))
			text[n++] = banner.p[i];
	return n != 0 ? slice_hash((struct slice){text, n}) : 0;
}

/* What a stranger has written, for people: cut, and printable. */
static void
words(char out[NAME], struct slice in)
{
	size_t n = in.n < NAME - 1 ? in.n : NAME - 1;
	for (size_t i = 0; i < n; i++)
		out[i] = in.p[i] >= ' ' && in.p[i] <= '~' ? in.p[i] : '?';
	out[n] = '\0';
}

/* --- what is remembered */

bool
within(uint64_t then_ms, uint64_t now_ms, uint64_t window_ms)
{
	return then_ms != 0 && now_ms - then_ms <= window_ms;
}

struct seen *
seen_get(struct egress *e, const struct egress_evidence *v)
{
	uint64_t domain = slice_hash_nocase(v->site) | 1;
	struct seen *oldest = &e->sites[0];
	for (size_t i = 0; i < SITES; i++) {
		struct seen *x = &e->sites[i];
		if (x->domain == domain)
			return x;
		if (x->last_ms < oldest->last_ms)
			oldest = x;
	}
	*oldest = (struct seen){.domain = domain,
		.org = slice_hash_nocase(organisation(v->site)),
		.owner = owner_of(v->site)};
	words(oldest->name, v->site);
	return oldest;
}

/* The first stays: it is what the others are compared with. */
static void
face_note(struct face faces[FACES], uint64_t hash, uint64_t now_ms)
{
	size_t at = 0;
	while (at < FACES && faces[at].hash != 0 && faces[at].hash != hash)
		at++;
	if (at == FACES) {
		memmove(&faces[1], &faces[2], (FACES - 2) * sizeof(*faces));
		at = FACES - 1;
		faces[at].hash = 0;
	}
	if (faces[at].hash == 0)
		faces[at] = (struct face){hash, now_ms};
}

void
face_forget(struct face faces[FACES], uint64_t hash)
{
	for (size_t i = 0; hash != 0 && i < FACES; i++) {
		if (faces[i].hash != hash)
			continue;
		memmove(&faces[i], &faces[i + 1], (FACES - 1 - i) * sizeof(*faces));
		faces[FACES - 1] = (struct face){0, 0};
		return;
	}
}

uint64_t
face_since(const struct face faces[FACES], uint64_t hash)
{
	for (size_t i = 0; i < FACES; i++)
		if (faces[i].hash == hash)
			return faces[i].first_ms;
	return 0;
}

void
seen_note(struct egress *e, struct seen *x, const struct egress_evidence *v, uint64_t now_ms)
{
	x->last_ms = now_ms;
	if (v->mx_set != 0)
		x->mx_set = v->mx_set;
	if (!v->reached) {
		x->unreachable_ms = now_ms;
		return;
	}
	x->reached_ms = e->reached_ms = now_ms;
	x->unreachable_ms = 0;
	x->listed_ms = v->listed ? now_ms : 0;
	x->banner = banner_face(v->banner);
	x->certificate = v->certificate;
	words(x->greeting, v->banner);
	if (x->banner != 0) {
		face_note(x->banners, x->banner, now_ms);
		if (x->greeting_first[0] == '\0')
			memcpy(x->greeting_first, x->greeting, NAME);
	}
	if (x->certificate != 0)
		face_note(x->certificates, x->certificate, now_ms);
	if (v->starttls) {
		x->had_starttls = true;
		x->gone_ms = 0;
		e->starttls_ms = now_ms;
	} else if (!v->no_hello && !v->listed && x->banner != 0 &&
		   (x->had_starttls || x->owner != 0)) {
		x->gone_ms = now_ms;
	}
}
