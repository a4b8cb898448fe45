/*
 * The header of a mail, parsed once. One parser, one answer: From, subject and names for
 * policy, DMARC, DKIM and logs come only from here (HDR-01 to HDR-03, HDR-11). The bytes are
 * borrowed from the mail's store; offsets count from its first byte.
 */
#ifndef FILTERS_MESSAGE_H
#define FILTERS_MESSAGE_H

#include "base/arena.h"
#include "smtp/address.h"
#include "smtp/reply.h"

enum {
	MESSAGE_FIELDS_MOST = 2000,
	MESSAGE_HEADER_MOST = 128 * 1024,
	MESSAGE_MAILBOXES_MOST = 1000, /* of one address list */
	MESSAGE_OWN_RECEIVED_MOST =
		5, /* a list sends back what we sent out; a loop comes oftener */
};

struct message_field {
	struct slice name;  /* as it came, without colon */
	struct slice value; /* after the colon, folds and all, without the last CRLF */
	struct slice raw;   /* the whole field with its last CRLF */
};

enum message_fault {
	MESSAGE_OK = 0,
	MESSAGE_NOT_A_FIELD =
		1, /* a line before the blank line that is no field; first line folds */
	MESSAGE_BAD_NAME = 2,  /* blank before the colon, bytes outside printable ASCII */
	MESSAGE_DUPLICATE = 4, /* a field that may stand once stands twice (not From) */
	MESSAGE_FROM_MISSING = 8,
	MESSAGE_FROM_SEVERAL = 16, /* more than one From field */
	MESSAGE_FROM_BAD = 32,     /* does not parse; 8-bit; encoded word inside an address */
	MESSAGE_FROM_DOMAINS = 64, /* several author domains */
	MESSAGE_TOO_MANY = 128, /* fields or bytes: n_from is 0 then, since no one read all */
	MESSAGE_DATE_MISSING = 256,
	MESSAGE_NO_BLANK_LINE =
		512, /* the mail ended in its header: allowed, the body is empty */
};

struct message {
	struct message_field *fields;
	size_t n_fields;
	size_t header_bytes; /* with the blank line: the body begins here */
	unsigned faults;
	struct slice fault_text; /* the first one, in words, naming the field */
	struct address *from;    /* mailboxes of From, in order */
	size_t n_from;
	struct slice from_domain; /* the author domain, A-label; empty where there is not one */
	struct slice
		subject; /* RFC 2047 decoded to UTF-8, unfolded; what cannot be decoded stays */
	struct slice message_id;
	unsigned received;     /* count of Received */
	unsigned own_received; /* of them, those "by" our host name */
};

/*
 * Where the header ends in what has come so far: bytes with the blank line, or 0 where it is
 * not there yet. `from` is where the search may begin (what was searched before, less 3).
 */
size_t message_header_end(struct slice bytes, size_t from);
/*
 * hostname: ours, for the loop count. header: the block with its blank line, or all there is.
 * Time and memory are linear in the header's bytes, whatever they are (HDR-11).
 */
void message_parse(struct slice header, struct slice hostname, bool smtputf8, struct arena *a,
	struct message *m_out);
/* The i-th field of that name from the top (0: first), or NULL. */
const struct message_field *message_field(const struct message *m, struct slice name, size_t i);
/* The value of a Received field, "from X by HOST ...": whether HOST is this one. */
bool message_received_by(struct slice value, struct slice hostname);
/* value unfolded (CRLF off), trimmed; in the arena only where there was something to do. */
struct slice message_unfold(struct slice value, struct arena *a);
/*
 * RFC 2047: encoded words of an unfolded value to UTF-8 (those of a known charset; others stay
 * as they came, so does what is malformed).
 */
struct slice message_decode_words(struct slice value, struct arena *a);
/* A byte of windows-1252 as a character; 0: none. */
unsigned message_windows_1252(unsigned char c);
/*
 * Text of one of our charsets (UTF-8, ASCII, Latin-1 and windows-1252 are not asked for here)
 * to UTF-8, as much as there is room for; what it cannot read is left out. False: another
 * charset, nothing was written.
 */
bool
message_to_utf8(struct slice charset, struct slice in, char *to, size_t room, size_t *n_out);
/*
 * Makes libc load its converters now: a process calls it before its sandbox closes the file
 * system.
 */
void message_load_charsets(void);
/*
 * The refusal by the built-in rules (HDR-01 to -03, SRV-09), code 0 where there is none.
 * submission: missing From, Date and Message-ID are forgiven; From itself is not.
 */
struct smtp_reply message_refusal(
	const struct message *m, bool submission, unsigned received_most, struct arena *a);
/*
 * An address list (RFC 5322 3.4, 6854 groups). Stricter than the RFC where parsers of others
 * are known to read something else (HDR-03): no route, no empty element, no comment or blank
 * inside an addr-spec, no encoded word in one, no 8-bit without smtputf8. Dots in a phrase are
 * taken. False: it does not parse, or has more than MESSAGE_MAILBOXES_MOST.
 */
bool message_addresses(struct slice value, bool smtputf8, struct arena *a,
	struct address **addresses_out, size_t *n_out);

/*
 * The names beside the addresses of such a list: of mailboxes and groups, and comments, which
 * some programs show as names; unquoted, RFC 2047 decoded. False: as above, or too many.
 */
bool message_names(struct slice value, bool smtputf8, struct arena *a, struct slice **names_out,
	size_t *n_out);

#endif
