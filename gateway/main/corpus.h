/*
 * Mails that are in files, one after the other: to be taught (`postern learn`) or judged
 * (`postern spam test`). A path is one mail, an mbox (mboxrd, mboxo), a Maildir (cur, then
 * new), a folder of any of these (sorted by name, CORPUS_DEPTH_MOST deep, without hidden names
 * and without following links to folders), or "-". Of each mail the first bytes are read, as
 * many as the spam filter may look at, so that no mail is too long; line ends are as they were.
 * What cannot be read, is empty or is no mail comes as an item that says so.
 *
 * In an mbox a line "From " behind an empty line begins a mail if it has a date as ctime()
 * writes it, or the first line of the file had none either; ">From ", ">>From " lose one ">".
 */
#ifndef MAIN_CORPUS_H
#define MAIN_CORPUS_H

#include <stdio.h>

#include "base/err.h"
#include "base/slice.h"
#include "filters/message.h"
#include "filters/spam_view.h"

enum {
	CORPUS_MAIL_MOST =
		MESSAGE_HEADER_MOST + SPAM_BODY_MOST, /* bytes of each that are read */
	CORPUS_DEPTH_MOST = 8,
	CORPUS_FILES_MOST = 4 * 1000 * 1000,
};

struct corpus;

/* Where a mail is: for corpus_read. */
struct corpus_place {
	uint64_t offset;
	uint32_t file, number;
};

struct corpus_mail {
	const char *path;   /* of its file, as long as the corpus; "-" */
	unsigned number;    /* in its file, from 1; 0: the file is that mail */
	const char *wrong;  /* NULL; else why it is passed over: "is empty", and no bytes */
	struct slice bytes; /* the first of it, until the next call */
	struct corpus_place place;
};

/* in: what "-" means. NULL and err: there is nothing at that path, or it cannot be read. */
struct corpus *corpus_open(const char *path, FILE *in, struct err *err);
void corpus_free(struct corpus **c);

/* False: that was all. */
bool corpus_next(struct corpus *c, struct corpus_mail *mail_out);
/*
 * A mail that corpus_next has given, once more, in any order; not of "-". False: it cannot be
 * read any more, or is none now.
 */
bool corpus_read(struct corpus *c, struct corpus_place place, struct corpus_mail *mail_out);

struct corpus_progress {
	uint64_t files, bytes;           /* all of them; 0: not known ("-") */
	uint64_t files_done, bytes_done; /* those that corpus_next is past */
};
struct corpus_progress corpus_progress(const struct corpus *c);

#endif
