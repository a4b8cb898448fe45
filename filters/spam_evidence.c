/*
 * The table of evidence, and the gathering: the fields are found in one walk over the header,
 * every finder puts down what it sees, and what came of one group is bounded at the end. Asked
 * by the filter `spam` when the body is there; spam_score.c weighs what comes out.
 */
#include "base/must.h"
#include "conf/words.h"
#include "filters/psl.h"
#include "filters/spam_evidence_priv.h"

const struct spam_evidence spam_evidence_table[SPAM_EVIDENCES] = {
#define SPAM_EVIDENCE(group, id, name, weight, text) {name, weight, text, SPAM_OF_##group},
#include "filters/spam_evidence.def"
};

const struct spam_group_bound spam_group_bounds[SPAM_GROUPS] = {
#define SPAM_GROUP(id, most, least) {most, least},
#include "filters/spam_evidence.def"
};

/* Bytes: of a detail; of a field and of the subject that are looked at. */
enum { DETAIL_MOST = 60, FIELD_MOST = 8 * 1024, SUBJECT_MOST = 1000 };

enum spam_evidence_id
spam_evidence_find(struct slice name)
{
	int id = 0;
	while (id < SPAM_EVIDENCES && !slice_eq(name, slice_of(spam_evidence_table[id].name)))
		id++;
	return (enum spam_evidence_id)id;
}

struct slice
spam_evidence_hint(struct slice name, struct arena *a)
{
	const char *names[SPAM_EVIDENCES];
	for (size_t i = 0; i < SPAM_EVIDENCES; i++)
		names[i] = spam_evidence_table[i].name;
	return words_hint(name, names, SPAM_EVIDENCES, a);
}

/*
 * It goes into a header and a log: printable, and nothing that would end a comment there. What
 * is mostly of another script says nothing in question marks.
 */
static struct slice
printable(struct slice s, struct arena *a)
{
	s = slice_trim(slice_first(s, DETAIL_MOST));
	size_t high = 0;
	for (size_t i = 0; i < s.n; i++)
		high += (unsigned char)s.p[i] >= 0x80;
	if (s.n == 0 || high * 3 > s.n)
		return SLICE_NONE;
	char *p = arena_alloc(a, s.n);
	for (size_t i = 0; i < s.n; i++) {
		char c = s.p[i];
		p[i] = c < ' ' || c > '~' || c == '(' || c == ')' || c == '\\' || c == ';' ? '?'
											   : c;
	}
	return (struct slice){p, s.n};
}

void
spam_find_part(
	struct spam_gather *g, enum spam_evidence_id id, double times, struct slice detail)
{
	if (g->found[id])
		return;
	g->found[id] = true;
	must(g->out->n < sizeof(g->out->items) / sizeof(g->out->items[0]));
	g->out->items[g->out->n++] = (struct spam_found_one){
		.id = id, .times = times, .detail = printable(detail, g->a)};
}

static const struct slice field_names[SPAM_FIELDS] = {
	[SPAM_F_FROM] = SLICE("From"),
	[SPAM_F_REPLY_TO] = SLICE("Reply-To"),
	[SPAM_F_TO] = SLICE("To"),
	[SPAM_F_CC] = SLICE("Cc"),
	[SPAM_F_SUBJECT] = SLICE("Subject"),
	[SPAM_F_DATE] = SLICE("Date"),
	[SPAM_F_MESSAGE_ID] = SLICE("Message-ID"),
	[SPAM_F_IN_REPLY_TO] = SLICE("In-Reply-To"),
	[SPAM_F_REFERENCES] = SLICE("References"),
	[SPAM_F_THREAD_INDEX] = SLICE("Thread-Index"),
	[SPAM_F_MAILER] = SLICE("X-Mailer"),
	[SPAM_F_USER_AGENT] = SLICE("User-Agent"),
	[SPAM_F_MIME_OLE] = SLICE("X-MimeOLE"),
	[SPAM_F_MS_PRIORITY] = SLICE("X-MSMail-Priority"),
	[SPAM_F_PRIORITY] = SLICE("X-Priority"),
	[SPAM_F_IMPORTANCE] = SLICE("Importance"),
	[SPAM_F_PRECEDENCE] = SLICE("Precedence"),
	[SPAM_F_LIST_ID] = SLICE("List-Id"),
	[SPAM_F_LIST_POST] = SLICE("List-Post"),
	[SPAM_F_LIST_UNSUBSCRIBE] = SLICE("List-Unsubscribe"),
	[SPAM_F_LIST_UNSUBSCRIBE_POST] = SLICE("List-Unsubscribe-Post"),
	[SPAM_F_DKIM_SIGNATURE] = SLICE("DKIM-Signature"),
	[SPAM_F_CONTENT_TYPE] = SLICE("Content-Type"),
	[SPAM_F_PHP_SCRIPT] = SLICE("X-PHP-Originating-Script"),
	[SPAM_F_RECEIVED] = SLICE("Received"),
};

static void
find_fields(struct spam_gather *g)
{
	for (size_t i = 0; i < g->v->n_fields; i++) {
		struct slice name = g->v->fields[i].name;
		for (size_t f = 0; f < SPAM_FIELDS; f++) {
			if (name.n != field_names[f].n || g->there[f] ||
				!slice_eq_nocase(name, field_names[f]))
				continue;
			g->there[f] = true;
			g->field[f] = slice_first(
				message_unfold(g->v->fields[i].value, g->a), FIELD_MOST);
			break;
		}
	}
	g->list = g->there[SPAM_F_LIST_ID] || g->there[SPAM_F_LIST_POST] ||
		  slice_eq_nocase(g->field[SPAM_F_PRECEDENCE], SLICE("list"));
	g->subject =
		slice_first(message_decode_words(g->field[SPAM_F_SUBJECT], g->a), SUBJECT_MOST);
	g->subject_lower = arena_lower(g->a, g->subject);
	spam_person_read(g, g->field[SPAM_F_FROM], &g->from);
	spam_person_read(g, g->field[SPAM_F_REPLY_TO], &g->reply);
	for (size_t i = 0; i < g->v->n_links && !g->links; i++)
		g->links = (g->v->links[i].flags & SPAM_LINK_IMAGE) == 0;
	g->ascii = spam_all_ascii(g->v->text);
}

/* Takes what was found of each group down to its bound. */
static void
bound(struct spam_found *found)
{
	double most[SPAM_GROUPS] = {0}, least[SPAM_GROUPS] = {0};
	for (size_t i = 0; i < found->n; i++) {
		const struct spam_evidence *e = &spam_evidence_table[found->items[i].id];
		double counts = e->weight * found->items[i].times;
		*(counts > 0 ? &most[e->group] : &least[e->group]) += counts;
	}
	for (size_t i = 0; i < found->n; i++) {
		const struct spam_evidence *e = &spam_evidence_table[found->items[i].id];
		const struct spam_group_bound *b = &spam_group_bounds[e->group];
		if (e->weight > 0 && most[e->group] > b->most)
			found->items[i].times *= b->most / most[e->group];
		if (e->weight < 0 && least[e->group] < b->least)
			found->items[i].times *= b->least / least[e->group];
	}
}

/* Behind the bound: lists are the administrator's, each with a weight of its own. */
static void
listings(const struct spam_world *w, struct arena *a, struct spam_found *out)
{
	for (size_t i = 0; i < w->n_listings && i < SPAM_LISTINGS_MOST; i++)
		out->items[out->n++] = (struct spam_found_one){
			.id = w->listings[i].link ? SPAM_LIST_LINK : SPAM_LIST_CLIENT,
			.times = w->listings[i].weight,
			.detail = printable(w->listings[i].what, a)};
}

void
spam_evidence_gather(const struct spam_view *v, const struct spam_world *w, struct arena *a,
	struct spam_found *out)
{
	out->n = 0;
	struct spam_gather g = {.v = v, .w = w, .a = a, .out = out};
	find_fields(&g);
	spam_gather_origin(&g);
	if (!v->bounce) {
		spam_gather_header(&g);
		spam_gather_date(&g);
		spam_gather_subject(&g);
		spam_gather_people(&g);
		spam_gather_text(&g);
		spam_gather_files(&g);
		spam_gather_words(&g);
		spam_gather_links(&g);
		spam_gather_ham(&g);
	}
	bound(out);
	listings(w, a, out);
}
