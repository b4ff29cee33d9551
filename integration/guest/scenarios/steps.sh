# How a scenario tells the host what it does; read by init. A line each:
#
#   @@step TEXT            a step begins
#   @@ok TEXT              it succeeded, and this is worth saying
#   @@failed TEXT          it failed; what the tools printed is on the console
#   @@note TEXT            more to say
#   @@file NAME HEX        a file
#   @@reboot               the guest is about to reset its machine
#   @@kill                 the host shall kill the TPM's process without warning
#   @@save                 the host shall save the machine and let it go on; it waits for that
#   @@migrate              the host shall move the machine; it waits for that
#   @@done                 the end

step() { echo "@@step $*"; }
note() { echo "@@note $*"; }
ok() { echo "@@ok $*"; }

# Ends the scenario: what follows would only fail again.
failed() {
    echo "@@failed $*"
    echo "@@done"
    poweroff -f
    sleep 60
}

# Runs a command; its output is shown on the console only.
run() { "$@" >/dev/console 2>errors || { cat errors >/dev/console; failed "$1: $(reason)"; }; }

# The most telling line of what the last tool complained about.
reason() { { grep '^ERROR: Esys' errors || tail -n 1 errors; } | head -n 1; }

send_file() { echo "@@file $1 $(xxd -p "$1" | tr -d '\n')"; }

# Value of a PCR of the SHA-256 bank, in small letters.
pcr() { tpm2_pcrread "sha256:$1" | sed -n "s/^ *$1 *: 0x//p" | tr A-F a-f; }

# Digest of bytes given in hexadecimal.
sha256_hex() { printf %s "$1" | xxd -r -p | sha256sum | cut -d ' ' -f 1; }

# PCR 0-7 are what a firmware that measures left there.
check_measured() {
    for index in 0 1 2 3 4 5 6 7; do
        value=$(pcr $index)
        case $value in
        "") failed "cannot read PCR $index" ;;
        *[!0]*) note "PCR $index  $value" ;;
        *) failed "PCR $index is zero: the firmware measured nothing" ;;
        esac
    done
}
