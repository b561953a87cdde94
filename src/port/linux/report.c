// SPDX-License-Identifier: MIT OR GPL-2.0-only
/* port_report() and port_bug() in the kernel's log. Any context, as printk(). */
#include <linux/bug.h>
#include <linux/kernel.h>
#include <linux/printk.h>
#include <linux/stdarg.h>

#include <port/port.h>

#define TEXT 256

/* The kernel's format for one of the letters that port_report() takes. */
static size_t argument(char *out, size_t size, char letter, va_list *ap)
{
	switch (letter) {
	case 's':
		return scnprintf(out, size, "%s", va_arg(*ap, const char *));
	case 'u':
		return scnprintf(out, size, "%llu", va_arg(*ap, unsigned long long));
	case 'd':
		return scnprintf(out, size, "%lld", va_arg(*ap, long long));
	case 'x':
		return scnprintf(out, size, "%llx", va_arg(*ap, unsigned long long));
	case 'a':
		return scnprintf(out, size, "%pS", va_arg(*ap, void *));
	default:
		return scnprintf(out, size, "%px", va_arg(*ap, void *));
	}
}

static void report(const char *format, va_list *ap)
{
	char text[TEXT];
	size_t n = 0;

	for (; *format && n + 1 < TEXT; format++) {
		if (*format == '%')
			n += argument(text + n, TEXT - n, *++format, ap);
		else
			text[n++] = *format;
	}
	text[n] = 0;
	pr_err("anyrcu: %s\n", text);
}

void port_report(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	report(format, &ap);
	va_end(ap);
}

_Noreturn void port_bug(const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	report(format, &ap);
	va_end(ap);
	BUG();
}
