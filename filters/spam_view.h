/*
 * What the spam filter reads of a mail: a bounded first part of it, decoded once for all that
 * judge or learn from it (spam_features.h, spam_evidence.h). A mail of 50 MB costs no more than
 * one of 100 KB. This reads more loosely than the parsers that decide anything: what it gets
 * wrong makes a poorer guess, never a wrong fact of another filter. The header comes from
 * message.h, parts are found by their boundaries, text is decoded (RFC 2045 6), HTML is
 * stripped, links are kept apart.
 *
 * LF and CRLF are the same. Linear in the bytes; all memory is in the arena.
 */
#ifndef FILTERS_SPAM_VIEW_H
#define FILTERS_SPAM_VIEW_H

#include "filters/message.h"

enum {
	SPAM_HEADER_MOST = 32 * 1024, /* bytes of the header that are looked at: whole fields */
	SPAM_BODY_MOST = 64 * 1024,
	SPAM_RAW_MOST = 3500,       /* bytes of struct spam_view's raw */
	SPAM_TEXT_MOST = 16 * 1024, /* and of its text, of all parts together */
	SPAM_PARTS_MOST = 40,
	SPAM_DEPTH_MOST = 8,
	SPAM_LINKS_MOST = 64,
	SPAM_HOST_MOST = 255,
	SPAM_VIEW_BYTES = 1024 * 1024, /* room that the arena must have */
};

struct spam_part {
	struct slice type;     /* "text/html", lower case; "text/plain" where none is said */
	struct slice charset;  /* lower case; empty: none said */
	struct slice encoding; /* "base64", lower case; empty: none said */
	struct slice name;     /* of a file, decoded (RFC 2047, 2231); empty: none */
	bool attachment;       /* Content-Disposition says so */
	unsigned depth;        /* 0: the mail itself */
};

enum spam_link_flags {
	SPAM_LINK_IP = 1,       /* the host is an address, in whatever spelling */
	SPAM_LINK_USERINFO = 2, /* "http://bank.example@evil.example/" */
	SPAM_LINK_PORT = 4,     /* neither 80 nor 443 */
	SPAM_LINK_IDN = 8,      /* a label is "xn--" or not ASCII */
	SPAM_LINK_ESCAPED = 16, /* percent signs or entities in the host */
	SPAM_LINK_OTHER = 32,   /* its text shows the name of another site than it leads to */
	SPAM_LINK_IMAGE = 64,   /* of an image, not to be clicked */
	SPAM_LINK_FORM = 128,   /* where a form is sent */
	SPAM_LINK_TEXT = 256,   /* out of plain text */
};

struct spam_link {
	struct slice host; /* lower case, decoded, A-labels; an address in its usual form */
	struct slice path; /* as it came, behind the host, cut to 200 bytes */
	unsigned flags;
};

struct spam_html { /* counts over all HTML parts; 0: there is none */
	unsigned tags, images, links, forms, scripts, styles, fonts, tables, comments;
	unsigned hidden;       /* elements whose text cannot be seen: display, size, colour */
	unsigned hidden_bytes; /* of that text */
	unsigned broken;       /* tags or words cut by comments or unknown tags */
	unsigned entities;
	unsigned text_bytes; /* what is left for the eye */
};

struct spam_view {
	const struct message *message; /* with `fields` as its fields; all else as it was */
	struct message_field *fields;  /* those looked at, from the top, in the arena */
	size_t n_fields;
	/*
	 * Fields that were put on after the mail came to our gate are not looked at, so that a
	 * mail out of a mailbox is what it was at the gate: all down to the last Received of
	 * ours (by hostname) that stands above From, To and Date; and wherever they stand the
	 * verdicts and marks of mailboxes and filters (Authentication-Results, X-Spam-*,
	 * Delivered-To, Status, ...).
	 */
	bool own;         /* a Received of ours was found, and cut with all above it */
	struct slice raw; /* the first SPAM_RAW_MOST bytes of what is left, with LF, none at its
			     end */
	struct slice text; /* UTF-8, lower case, runs of blanks one blank; subject not in it */
	struct slice text_as_is; /* the same with its case, for those who look at capitals */
	struct spam_part *parts;
	size_t n_parts;
	struct spam_link *links; /* distinct by host and path */
	size_t n_links;
	struct spam_html html;
	bool bounce; /* a DSN (RFC 3464), a report (RFC 5965), or a bounce of the older kinds */
	bool cut;    /* the mail is longer than what was looked at */
	bool html_only; /* text/html without text/plain beside it */
};

/*
 * body: the first of it, any length; more than SPAM_BODY_MOST bytes say that it was cut.
 * hostname: ours, to know our Received; empty: none is. m, its bytes and the body are borrowed
 * as long as the view is used. An arena with less room than SPAM_VIEW_BYTES: the view is empty,
 * and cut.
 */
void spam_view_read(const struct message *m, struct slice body, struct slice hostname,
	struct arena *a, struct spam_view *v_out);
/* A whole mail, or the first SPAM_HEADER_MOST + SPAM_BODY_MOST bytes of one, LF or CRLF. */
void spam_view_of_mail(
	struct slice mail, struct slice hostname, struct arena *a, struct spam_view *v_out);

#endif
