export PYTHONUNBUFFERED=1
timeout 200 python3 kernels/tests/check_device.py 2>&1 | tee $OUT/check.txt | tail -40
PYTHONPATH=kernels timeout 150 python3 kernels/bench.py --json $OUT/bench.json 2>&1 | tee $OUT/bench.txt
timeout 60 python3 kernels/tests/profile_device.py 2>&1 | tee $OUT/profile.txt
timeout 150 ncu --clock-control none -k regex:"forward|backward|carry" --section SpeedOfLight --section WarpStateStats --section Occupancy --section SchedulerStats --section InstructionStats --section LaunchStats -o $OUT/ncu -f python3 kernels/tests/ncu_device.py 0 2 > $OUT/ncu.log 2>&1
ncu -i $OUT/ncu.ncu-rep --page details > $OUT/ncu.txt 2>&1; rm -f $OUT/ncu.ncu-rep; tail -3 $OUT/ncu.log
cuobjdump --dump-sass kernels/geofcs_kernels/lib/kernels.fatbin | gzip > $OUT/sass.gz
