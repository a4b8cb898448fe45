/*
 * Character sets of mails, see charsets.h: the registered ones that mail programs have written
 * in the last thirty years. UTF-8, UTF-16 and ASCII are in the library itself.
 */
#include "engine/charsets.h"

#include <iconv.h>
#include <stddef.h>

static const char *const names[] = {
	"ISO-8859-1",
	"ISO-8859-2",
	"ISO-8859-3",
	"ISO-8859-4",
	"ISO-8859-5",
	"ISO-8859-6",
	"ISO-8859-7",
	"ISO-8859-8",
	"ISO-8859-9",
	"ISO-8859-10",
	"ISO-8859-11",
	"ISO-8859-13",
	"ISO-8859-14",
	"ISO-8859-15",
	"ISO-8859-16",
	"WINDOWS-1250",
	"WINDOWS-1251",
	"WINDOWS-1252",
	"WINDOWS-1253",
	"WINDOWS-1254",
	"WINDOWS-1255",
	"WINDOWS-1256",
	"WINDOWS-1257",
	"WINDOWS-1258",
	"WINDOWS-874",
	"TIS-620",
	"KOI8-R",
	"KOI8-U",
	"IBM437",
	"IBM850",
	"IBM852",
	"IBM866",
	"MACINTOSH",
	"GBK",
	"GB2312",
	"GB18030",
	"BIG5",
	"BIG5-HKSCS",
	"EUC-TW",
	"HZ",
	"ISO-2022-CN",
	"EUC-JP",
	"SHIFT_JIS",
	"CP932",
	"ISO-2022-JP",
	"ISO-2022-JP-2",
	"EUC-KR",
	"CP949",
	"ISO-2022-KR",
	"JOHAB",
	"TCVN",
	"VISCII",
	"ARMSCII-8",
	"UTF-7",
	"UTF-16",
	"UTF-32",
};

unsigned
charsets_load(void)
{
	unsigned n = 0;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		/* never closed: it stays loaded */
		static iconv_t loaded[sizeof(names) / sizeof(names[0])][2];
		loaded[i][0] = iconv_open("UTF-8", names[i]);
		loaded[i][1] = iconv_open(names[i], "UTF-8");
		n += loaded[i][0] != (iconv_t)-1 && loaded[i][1] != (iconv_t)-1;
	}
	return n;
}
