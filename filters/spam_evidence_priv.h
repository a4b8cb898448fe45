/*
 * What the finders of evidence share: one gathering with the mail's fields found once, who it
 * is from read loosely, and where a find is put down. spam_evidence.c runs the finders in turn;
 * each of the other files is one of them, spam_names.c and spam_alike.c what they ask.
 */
#ifndef FILTERS_SPAM_EVIDENCE_PRIV_H
#define FILTERS_SPAM_EVIDENCE_PRIV_H

#include "filters/spam_evidence.h"

enum spam_field {
	SPAM_F_FROM,
	SPAM_F_REPLY_TO,
	SPAM_F_TO,
	SPAM_F_CC,
	SPAM_F_SUBJECT,
	SPAM_F_DATE,
	SPAM_F_MESSAGE_ID,
	SPAM_F_IN_REPLY_TO,
	SPAM_F_REFERENCES,
	SPAM_F_THREAD_INDEX,
	SPAM_F_MAILER,
	SPAM_F_USER_AGENT,
	SPAM_F_MIME_OLE,
	SPAM_F_MS_PRIORITY,
	SPAM_F_PRIORITY,
	SPAM_F_IMPORTANCE,
	SPAM_F_PRECEDENCE,
	SPAM_F_LIST_ID,
	SPAM_F_LIST_POST,
	SPAM_F_LIST_UNSUBSCRIBE,
	SPAM_F_LIST_UNSUBSCRIBE_POST,
	SPAM_F_DKIM_SIGNATURE,
	SPAM_F_CONTENT_TYPE,
	SPAM_F_PHP_SCRIPT,
	SPAM_F_RECEIVED,
	SPAM_FIELDS
};

struct spam_person {
	struct slice name;  /* decoded, without quotes */
	struct slice local; /* of the address */
	struct slice host;  /* lower case */
	struct slice org;   /* its registrable domain, or host where it has none */
};

struct spam_gather {
	const struct spam_view *v;
	const struct spam_world *w;
	struct arena *a;
	struct spam_found *out;
	bool there[SPAM_FIELDS];
	struct slice field[SPAM_FIELDS]; /* the first of each from the top, unfolded, trimmed */
	struct slice subject;            /* decoded */
	struct slice subject_lower;
	struct spam_person from, reply;
	bool list;  /* it came over a list, by its own word */
	bool links; /* there is one to be clicked */
	bool ascii; /* the text is ASCII alone */
	bool wrote, patched,
		armoured; /* phrases that spam_evidence_ham.c asks for were there */
	bool found[SPAM_EVIDENCES];
};

/* Puts one down, once; detail is copied, cut short and made printable. */
void spam_find_part(
	struct spam_gather *g, enum spam_evidence_id id, double times, struct slice detail);
static inline void
spam_find(struct spam_gather *g, enum spam_evidence_id id, struct slice detail)
{
	spam_find_part(g, id, 1, detail);
}

/* The finders, in the order they are run. */
void spam_gather_origin(struct spam_gather *g);
void spam_gather_header(struct spam_gather *g);
void spam_gather_date(struct spam_gather *g);
void spam_gather_subject(struct spam_gather *g);
void spam_gather_people(struct spam_gather *g);
void spam_gather_text(struct spam_gather *g);
void spam_gather_files(struct spam_gather *g);
void spam_gather_words(struct spam_gather *g);
void spam_gather_links(struct spam_gather *g); /* asks what the words were about */
void spam_gather_ham(struct spam_gather *g);

/* From, Reply-To: read as a reader's program shows it, however it is written. */
void
spam_person_read(struct spam_gather *g, struct slice value, struct spam_person *person_out);

/* Lists of names (spam_names.c); all in lower case. */
bool spam_free_mail(struct slice org);
bool spam_shortener(struct slice host, struct slice org);
bool spam_hosting(struct slice host);
bool spam_storage(struct slice host);
bool spam_bad_tld(struct slice host);
bool spam_names_sorted(void); /* as the search asks; for the test */
/*
 * An often imitated company that text names in words of their own (host: between its dots and
 * hyphens), while org is none of its domains. Its name, or empty.
 */
struct slice spam_brand_named(struct slice text, struct slice org);
struct slice spam_brand_in_host(struct slice host, struct slice org);

/*
 * How much host looks like one of our domains without being below one: 0, or up to 1.
 * *which_out is the domain it looks like.
 */
double
spam_alike(struct slice host, const struct slice *own, size_t n_own, struct slice *which_out);
/* The same where the registrable domain of host is known; empty: it has none. */
double spam_alike_below(struct slice host, struct slice org, const struct slice *own,
	size_t n_own, struct slice *which_out);
/* host is one of ours or below it. */
bool spam_is_own(const struct spam_world *w, struct slice host);

/* What a text is disguised by. */
enum spam_disguise {
	SPAM_MIXED = 1,  /* Latin letters and some of another alphabet in one word */
	SPAM_UNSEEN = 2, /* characters of no width between letters, or that turn the writing */
	SPAM_PICTURED =
		4, /* mathematical, circled or full-width letters in place of plain ones */
};
struct spam_disguises {
	unsigned by;    /* enum spam_disguise */
	unsigned mixed; /* how many words are */
	unsigned emoji;
};
struct spam_disguises spam_disguised(struct slice text);
/* A label or local part without sense: digits among letters, no vowels. */
bool spam_diced(struct slice word);
bool spam_all_ascii(struct slice text);
/* Where needle stands in text, without ASCII case; text.n: nowhere. needle is lower case. */
size_t spam_where(struct slice text, struct slice needle);

#endif
