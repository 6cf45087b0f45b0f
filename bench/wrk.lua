-- The figures of wrk's end in a line that needs no interpretation.
function done(summary)
   local errors = summary.errors
   print(string.format("RESULT %d %d %d %d %d", summary.requests,
                       summary.duration, summary.bytes, errors.status,
                       errors.connect + errors.read + errors.write
                       + errors.timeout))
end
