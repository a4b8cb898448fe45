/*
 * What the files of the view share: the state of one reading, and the sink that text runs into.
 * spam_view.c reads the header and gives the parts their order (spam_view_parts.c), each part
 * is decoded (spam_view_decode.c) and its HTML stripped (spam_view_html.c), links go to
 * spam_view_links.c.
 */
#ifndef FILTERS_SPAM_VIEW_PRIV_H
#define FILTERS_SPAM_VIEW_PRIV_H

#include "filters/spam_view.h"

/* Text for the eye: a run of blanks is one blank, what is invisible is left out. */
struct spam_sink {
	char *p;
	size_t n;
	size_t most; /* bytes that it may hold now */
	size_t room; /* bytes behind p */
	bool blank;  /* one stands before the next character */
};

enum { SPAM_URL_MOST = 2048, SPAM_URLS_MOST = 256 }; /* of one; looked at in one mail */

struct spam_reading {
	struct spam_view *v;
	struct arena *a;
	struct spam_sink text;
	struct slice base_host; /* <base href> of the part that is read */
	unsigned urls;
	uint32_t link_hash[SPAM_LINKS_MOST];
};

/* Bytes that a part's text takes in these places are only this. */
enum spam_class {
	SPAM_PLAIN,
	SPAM_BLANK, /* and control characters */
	SPAM_LESS,
	SPAM_AMP,
	SPAM_HIGH,
};
extern const uint8_t spam_classes[256];

/* A blank that one plain character follows: it can be copied with what is around it. */
static inline bool
spam_one_blank(struct slice in, size_t at)
{
	return in.p[at] == ' ' && at > 0 && at + 1 < in.n &&
	       spam_classes[(unsigned char)in.p[at + 1]] == SPAM_PLAIN;
}

void spam_sink_char(struct spam_sink *s, uint32_t u);
/* Characters that nothing is done to, no two blanks in a row. */
void spam_sink_run(struct spam_sink *s, const char *p, size_t n);
/* The character at the front of in (not empty): UTF-8, or else one byte of windows-1252. */
uint32_t spam_char(struct slice in, size_t *n_out);
/* The bytes of a character, at most four. */
size_t spam_char_put(uint32_t u, char *to);
/* Compatibility forms folded; 0: it is not to be seen. ' ' for every blank. */
uint32_t spam_char_fold(uint32_t u);
/* What is no HTML. */
void spam_sink_text(struct spam_sink *s, struct slice in);
/* A copy in lower case, of the same length. */
struct slice spam_lower(struct slice s, struct arena *a);

/* The bytes of a part with its transfer encoding undone, in UTF-8 where we know its charset. */
struct slice spam_decode(const struct spam_part *part, struct slice raw, struct arena *a);

/* The character of an entity at the front ("&amp;"), its length; 0: it is none. */
size_t spam_entity(struct slice in, uint32_t *u_out);

/* How an element looks; it is handed down to those inside. */
enum { SPAM_COLOUR_UNKNOWN = 0x1000000 }; /* above every colour */
enum spam_hide {
	SPAM_HIDES = 1, /* all that is inside */
	SPAM_TINY = 2,  /* until a size is said again */
};
struct spam_look {
	uint8_t hide;
	bool coloured, painted; /* colours that were said, not assumed */
	uint32_t text, back;
};
void spam_look_style(struct spam_look *l, struct slice style);
void spam_look_text(struct spam_look *l, struct slice colour);
void spam_look_back(struct spam_look *l, struct slice colour);
/* sheet: a style sheet may have coloured anything. */
bool spam_look_hides(const struct spam_look *l, bool sheet);

void spam_read_html(struct spam_reading *r, struct slice html);

/* url: of an attribute (html: its entities are undone here) or of text. NULL: no link. */
struct spam_link *
spam_link_add(struct spam_reading *r, struct slice url, unsigned flags, bool html);
/* The URLs in a text. */
void spam_links_of_text(struct spam_reading *r, struct slice text);
/* Whether a text that leads to host shows the name of another site. */
bool spam_link_shows_other(struct slice text, struct slice host);
/* The host of a <base href>; empty: none. In the arena. */
struct slice spam_link_base(struct spam_reading *r, struct slice url);

/* The mail's own Content-Type and the like out of v->fields, then all parts of the body. */
void spam_read_parts(struct spam_reading *r, struct slice body);
/* bounce, html_only: of a view that has all else. */
void spam_note_kind(struct spam_view *v, struct arena *a);

#endif
