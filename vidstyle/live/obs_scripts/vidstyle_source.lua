-- An OBS source that shows the frames of `vidstyle live --obs` from shared memory, without a codec.
--
-- The module vidstyle/live/shared_memory.py documents the layout of the file. Tested on Linux. The
-- code for Windows and macOS follows their documentation and is untested.

local obs = obslua
local ffi = require("ffi")
local windows = ffi.os == "Windows"

ffi.cdef [[
typedef struct gs_texture gs_texture_t;
gs_texture_t *gs_texture_create(uint32_t width, uint32_t height, int format, uint32_t levels,
                                const uint8_t **data, uint32_t flags);
void gs_texture_set_image(gs_texture_t *texture, const uint8_t *data, uint32_t row_bytes,
                          bool invert);
void gs_texture_destroy(gs_texture_t *texture);
void obs_enter_graphics(void);
void obs_leave_graphics(void);
void obs_source_draw(gs_texture_t *texture, int x, int y, uint32_t width, uint32_t height,
                     bool flip);
typedef struct { char magic[4]; uint32_t version, slots, newest; } vidstyle_header;
typedef struct { uint32_t number, width, height; } vidstyle_slot;
]]

if windows then
    ffi.cdef [[
    void *CreateFileA(const char *name, uint32_t access, uint32_t share, void *security,
                      uint32_t creation, uint32_t flags, void *template_file);
    void *CreateFileMappingA(void *file, void *security, uint32_t protection, uint32_t high,
                             uint32_t low, const char *name);
    void *MapViewOfFile(void *mapping, uint32_t access, uint32_t high, uint32_t low,
                        size_t bytes);
    int UnmapViewOfFile(const void *address);
    int CloseHandle(void *handle);
    ]]
else
    ffi.cdef [[
    int open(const char *path, int flags, ...);
    int close(int file);
    int64_t lseek(int file, int64_t offset, int whence);
    void *mmap(void *address, size_t bytes, int protection, int flags, int file,
               int64_t offset);
    int munmap(void *address, size_t bytes);
    uint32_t geteuid(void);
    ]]
end

local lib = windows and ffi.load("obs") or ffi.C
local HEADER_BYTES, SLOT_BYTES, SLOTS = 64, 64 + 1920 * 1080 * 4, 3
local FILE_BYTES = HEADER_BYTES + SLOTS * SLOT_BYTES
local BGRX, DYNAMIC = 4, 2 -- GS_BGRX, GS_DYNAMIC
local RETRY_SECONDS = 0.5 -- interval at which a missing file is opened again

-- Flags of open(2): O_RDONLY and O_NOFOLLOW. On Linux O_NOATIME as well, with which only its owner
-- can open the file, so that no other user can provide one. Elsewhere the folder is the user's.
local NOFOLLOW = ffi.os == "OSX" and 0x100 or (ffi.arch:match("^arm") and 0x8000 or 0x20000)
local OPEN_FLAGS = NOFOLLOW + (ffi.os == "Linux" and 0x40000 or 0)

local function default_path()
    if windows then return (os.getenv("TEMP") or ".") .. "\\vidstyle-picture" end
    local temporary = (os.getenv("TMPDIR") or "/tmp"):gsub("/$", "")
    local folder = ffi.os == "Linux" and "/dev/shm" or temporary
    return folder .. "/vidstyle-picture-" .. ffi.C.geteuid()
end

-- Map the file; nil if it does not exist or has another size.
local function map_file(path)
    if windows then
        -- GENERIC_READ, all ways of sharing, OPEN_EXISTING
        local file = ffi.C.CreateFileA(path, 0x80000000, 7, nil, 3, 0, nil)
        if ffi.cast("intptr_t", file) == -1 then return nil end
        -- PAGE_READONLY
        local mapping = ffi.C.CreateFileMappingA(file, nil, 2, 0, FILE_BYTES, nil)
        ffi.C.CloseHandle(file)
        if mapping == nil then return nil end
        local address = ffi.C.MapViewOfFile(mapping, 4, 0, 0, FILE_BYTES) -- FILE_MAP_READ
        ffi.C.CloseHandle(mapping)
        return address ~= nil and address or nil
    end
    local file = ffi.C.open(path, OPEN_FLAGS)
    if file < 0 then return nil end
    local address
    if ffi.C.lseek(file, 0, 2) == FILE_BYTES then -- access beyond the end is a SIGBUS
        address = ffi.C.mmap(nil, FILE_BYTES, 1, 1, file, 0) -- PROT_READ, MAP_SHARED
        if ffi.cast("intptr_t", address) == -1 then address = nil end
    end
    ffi.C.close(file)
    return address
end

local function unmap(data)
    if data.address == nil then return end
    if windows then
        ffi.C.UnmapViewOfFile(data.address)
    else
        ffi.C.munmap(data.address, FILE_BYTES)
    end
    data.address, data.header, data.bytes = nil, nil, nil
end

local function map(data)
    data.address = map_file(data.path)
    if data.address == nil then return end
    data.header = ffi.cast("volatile vidstyle_header *", data.address)
    data.bytes = ffi.cast("const uint8_t *", data.address)
    if data.header.version ~= 1 or data.header.slots ~= SLOTS then unmap(data) end
end

local function drop_texture(data)
    if data.texture ~= nil then lib.gs_texture_destroy(data.texture) end
    data.texture = nil
end

-- Upload the newest frame to the texture. Only on the graphics thread of OBS.
local function update_texture(data)
    local newest = data.header.newest
    if newest == data.number then return end
    data.number = newest
    if newest == 0 then return end
    local offset = HEADER_BYTES + (newest % SLOTS) * SLOT_BYTES
    local slot = ffi.cast("volatile vidstyle_slot *", data.bytes + offset)
    local width, height = slot.width, slot.height
    if width == 0 or height == 0 or width * height * 4 > SLOT_BYTES - HEADER_BYTES then return end
    if data.texture == nil or width ~= data.width or height ~= data.height then
        drop_texture(data)
        data.texture = lib.gs_texture_create(width, height, BGRX, 1, nil, DYNAMIC)
        data.width, data.height = width, height
    end
    if data.texture ~= nil then
        local pixels = data.bytes + offset + HEADER_BYTES
        lib.gs_texture_set_image(data.texture, pixels, width * 4, false)
    end
end

-- Scene collections of users contain this id.
local source = {
    id = "vidstyle_picture",
    type = obs.OBS_SOURCE_TYPE_INPUT,
    output_flags = obs.OBS_SOURCE_VIDEO,
}

source.get_name = function() return "vidstyle" end

source.create = function(settings, _)
    local path = obs.obs_data_get_string(settings, "file")
    if path == "" then path = default_path() end
    return { path = path, width = 1280, height = 720, number = 0, waited = RETRY_SECONDS }
end

source.destroy = function(data)
    lib.obs_enter_graphics()
    drop_texture(data)
    lib.obs_leave_graphics()
    unmap(data)
end

source.video_tick = function(data, seconds)
    data.waited = data.waited + seconds
    if data.waited < RETRY_SECONDS then return end
    data.waited = 0
    -- vidstyle has ended: the next start may create another file.
    if data.address ~= nil and data.header.newest == 0 then unmap(data) end
    if data.address == nil then map(data) end
end

source.video_render = function(data, _)
    if data.address == nil then return end
    update_texture(data)
    if data.texture ~= nil and data.number ~= 0 then
        lib.obs_source_draw(data.texture, 0, 0, 0, 0, false)
    end
end

source.get_width = function(data) return data.width end
source.get_height = function(data) return data.height end

obs.obs_register_source(source)

function script_description()
    return "Adds a source called vidstyle: the frames of <code>vidstyle live --obs</code>, "
        .. "from shared memory."
end
