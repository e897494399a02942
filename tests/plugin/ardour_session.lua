-- Makes an Ardour session with one stereo track that goes through the plugin. Arguments: folder, name, amount in dB.
local folder, name, amount_db = arg[1], arg[2], tonumber(arg[3])
local backend = AudioEngine:set_backend("None (Dummy)", "", "")
backend:set_device_name("Silence")
backend:set_sample_rate(48000)
backend:set_buffer_size(1024)
local session = create_session(folder, name, 48000)
assert(session, "no session was made")
local tracks = session:new_audio_track(2, 2, nil, 1, "Guitar", -1, ARDOUR.TrackMode.Normal, true)
local plugin = ARDOUR.LuaAPI.new_plugin(session, "DRFM Denoiser", ARDOUR.PluginType.VST3, "")
assert(not plugin:isnil(), "the plugin was not found")
tracks:front():add_processor_by_index(plugin, 0, nil, true)
local insert = plugin:to_insert()
local inner = insert:plugin(0)
local number = 0
for i = 0, inner:parameter_count() - 1 do
  if inner:parameter_is_control(i) and inner:parameter_is_input(i) then
    local label = inner:parameter_label(i)
    io.stdout:write("parameter ", number, " ", label, "\n")
    if label == "Amount" then
      assert(ARDOUR.LuaAPI.set_processor_param(plugin, number, amount_db), "the amount cannot be set")
    end
    number = number + 1
  end
end
io.stdout:write("latency_samples ", insert:signal_latency(), "\n")
-- The engine has to run for the plugin to hear of the amount.
ARDOUR.LuaAPI.usleep(500000)
session:save_state("")
