tpm2_readclock
tpm2_setclock 100000000
[ "$(tpm2_readclock | sed -n 's/^ *clock: *//p')" -ge 100000000 ]
# It never goes back.
refused 0x1c4 tpm2_setclock 1
tpm2_clockrateadjust s
