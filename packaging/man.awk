# README.md and CAVEATS.md -> the manual page mod_chroot(8), in man(7).
#
#   awk -v version=2.0.0 -f man.awk README.md CAVEATS.md

BEGIN {
    printf ".TH MOD_CHROOT 8 \"\" \"mod_chroot %s\"\n.SH NAME\n", version
    print "mod_chroot, chroot-trace \\- jail the processes that serve requests in Apache httpd"
    print ".SH DESCRIPTION"
}

# What an installed page has no use for; of CAVEATS.md the messages are taken.
FNR == 1 { wanted = FILENAME ~ /README/ }
/^# / { next }
/^## / {
    wanted = FILENAME ~ /README/ ? !/^## (Install|See it work|License)/ \
                                 : /^## Troubleshooting/
}
!wanted || /^<!--/ { next }

function text(line,    parts, n, i, out)
{
    gsub(/\\/, "\\e", line)
    gsub(/-/, "\\-", line)
    gsub(/\*\*|\\e\|/, "", line)
    n = split(line, parts, "`")
    for (i = 1; i <= n; i++)
        out = out (i == 1 ? "" : i % 2 ? "\\fR" : "\\fB") parts[i]
    return out ~ /^[.']/ ? "\\&" out : out
}

function leave_block()
{
    if (in_block)
        print ".fi\n.RE"
    in_block = 0
}

/^    / && (after_blank || in_block) && !in_item {
    if (!in_block)
        print ".PP\n.RS 4\n.nf"
    in_block = 1
    after_blank = 0
    print text(substr($0, 5))
    next
}
/^$/ { after_blank = 1; if (in_block) print ""; else in_item = 0; next }
{ leave_block() }
/^## / { print ".SH " toupper(text(substr($0, 4))); after_blank = 0; next }
/^### / { print ".SS " text(substr($0, 5)); after_blank = 0; next }
/^\|[ |-]*\|$/ { after_blank = 0; next }
/^\|/ {
    gsub(/\\\|/, "\001")
    n = split($0, cells, / *\| */)
    printf ".TP\n\\fB%s\\fR\n", text(cells[2])
    row = ""
    for (i = 3; i < n; i++)
        row = row (i == 3 ? "" : "; ") cells[i]
    gsub(/\001/, "|", row)
    print text(row)
    after_blank = 0
    next
}
/^\* / { print ".IP \\(bu 2\n" text(substr($0, 3)); in_item = 1; after_blank = 0; next }
{
    if (after_blank)
        print in_item ? ".IP" : ".PP"
    after_blank = 0
    sub(/^ +/, "")
    print text($0)
}
END { leave_block() }
